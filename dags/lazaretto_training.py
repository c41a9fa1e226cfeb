"""When something was admitted: take a snapshot, train, register, look for poison in the model."""

import os

from airflow.sdk import DAG, Param, task

from lazaretto.operators import RegisterModelOperator as Register
from lazaretto.operators import SanitizeTrainingOperator as Sanitize
from lazaretto.operators import SnapshotTrainingOperator as Snapshot
from lazaretto.operators import admitted

POLICY = os.environ.get("LAZARETTO_POLICY", "/opt/airflow/policies/policy.yaml")
DATASET = os.environ.get("LAZARETTO_DATASET", "reviews")  # the policy's dataset
MODELS = os.environ.get("LAZARETTO_MODELS", "/opt/airflow/models")
VERSION = "{{ params.version or ti.xcom_pull('snapshot')['version'] }}"

with DAG(
    "lazaretto_training",
    schedule=[admitted(DATASET)],
    params={
        "model": Param(DATASET, type="string"),
        "version": Param(None, type=["null", "string"], description="default: the snapshot's"),
        "weights": Param(f"{MODELS}/{{dataset}}-{{version}}.safetensors", type="string"),
    },
):
    view = Snapshot(task_id="snapshot", dataset=DATASET).output

    @task
    def train(snapshot: dict, params: dict) -> str:
        """Yours: reads the snapshot (best by `lazaretto.stages`), returns the weights' path."""
        from lazaretto.demo.network import train_snapshot  # the demo's small network

        return train_snapshot(snapshot, params["weights"].format(**snapshot))

    weights = train(view)
    name = {"model": "{{ params.model }}", "version": VERSION}
    registered = Register(task_id="register", **name, snapshot=view, artifact=weights)
    # Yours, too: a function that takes the weights' path and returns the torch module.
    model = {"load_model": "lazaretto.demo.network:load", "weights": weights}
    registered >> Sanitize(task_id="sanitize", snapshot=view, **model, policy=POLICY)
