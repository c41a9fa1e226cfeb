"""A DAG of two tasks, whose datasets Airflow's OpenLineage provider reports."""

from airflow.providers.common.compat.openlineage.facet import Dataset
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("two_tasks", schedule=None):
    collect = BashOperator(
        task_id="collect",
        bash_command="true",
        inlets=[Dataset(namespace="s3://vendor", name="drop/day.parquet")],
        outlets=[Dataset(namespace="s3://lake", name="features")],
    )
    train = BashOperator(
        task_id="train",
        bash_command="true",
        inlets=[Dataset(namespace="s3://lake", name="features")],
        outlets=[Dataset(namespace="mlflow://models:5000", name="churn")],
    )
    collect >> train
