"""Many small deliveries: each takes its whole way in one task, several at a time."""

import os
from typing import Any

from airflow.sdk import DAG, Param, task

from lazaretto.operators import IngestBatchOperator, admitted

POLICY = os.environ.get("LAZARETTO_POLICY", "/opt/airflow/policies/policy.yaml")
DATASET = os.environ.get("LAZARETTO_DATASET", "reviews")  # the policy's dataset

with DAG(
    "lazaretto_ingest_small",
    schedule=None,  # one run per bundle of deliveries: from a sensor, the API, or by hand
    params={
        "deliveries": Param(
            [], type="array", description="uri, source and manifest of each delivery"
        ),
    },
):

    @task
    def list_deliveries(params: dict[str, Any]) -> list[dict[str, str]]:
        return list(params["deliveries"])

    IngestBatchOperator.partial(
        task_id="ingest",
        policy=POLICY,
        dataset=DATASET,
        outlets=[admitted(DATASET)],  # Airflow reads a mapped task's outlets before there is a task
        map_index_template="{{ task.uri }}",
        max_active_tis_per_dag=4,
    ).expand_kwargs(list_deliveries())
