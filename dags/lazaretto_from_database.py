"""Rows of a PostgreSQL table as a delivery: read by the run's day, and taken through the gate."""

import os
from datetime import datetime
from typing import Any

from airflow.sdk import DAG, BaseHook, CronDataIntervalTimetable, task

POLICY = os.environ.get("LAZARETTO_POLICY", "/opt/airflow/policies/policy.yaml")
DATASET = os.environ.get("LAZARETTO_DATASET", "reviews")  # the policy's dataset
SOURCE = os.environ.get("LAZARETTO_SOURCE", "shop")  # registered with `lazaretto source add`
KEY = os.environ.get("LAZARETTO_KEY")  # file with its private key, where the policy wants one
TABLE = os.environ.get("LAZARETTO_TABLE", "reviews")

with DAG(
    "lazaretto_from_database",
    # Not "@daily": by that a run has no data interval, but only a moment.
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=datetime(2026, 1, 1),
    catchup=False,
):

    @task.screened(source=SOURCE, dataset=DATASET, policy=POLICY, key=KEY)
    def rows_of_the_day(data_interval_start: Any = None, data_interval_end: Any = None) -> Any:
        """Yours: any function that returns a table of pyarrow, polars or pandas."""
        import polars as pl
        import psycopg
        from psycopg import sql

        query = sql.SQL(
            "SELECT * FROM {} WHERE written_at >= %s AND written_at < %s ORDER BY id"
        ).format(sql.Identifier(TABLE))
        connection = BaseHook.get_connection("lazaretto_shop")
        with psycopg.connect(connection.get_uri()) as shop:
            day = (data_interval_start, data_interval_end)
            found = shop.execute(query, day)
            names = [column.name for column in found.description or ()]
            return pl.DataFrame(found.fetchall(), schema=names, orient="row")

    rows_of_the_day()
