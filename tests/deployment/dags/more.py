"""DAGs of the deployment's test: a late delivery, days, a question, training, the outbox."""

import os
from datetime import datetime
from pathlib import Path

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, BaseNotifier, Param

from lazaretto.operators import (
    AdmitBatchOperator,
    AskForReviewOperator,
    AwaitDeliveryOperator,
    FlushLineageOperator,
    IngestBatchOperator,
    admitted,
)

POLICY = os.environ["LAZARETTO_POLICY"]
DATASET = os.environ["LAZARETTO_DATASET"]


class Tell(BaseNotifier):
    """Writes what it is told into a file."""

    template_fields = ("text",)

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def notify(self, context: object) -> None:
        with Path(os.environ["TOLD"]).open("a") as file:
            print(self.text, file=file)


TELL = Tell("{{ hold.case }} {{ hold.held }} {{ hold.link }}")

with DAG("late", schedule=None, params={"uri": Param(type="string")}):
    delivery = {"uri": "{{ params.uri }}", "source": "vendor-a", "policy": POLICY}
    arrived = AwaitDeliveryOperator(task_id="await", poke_interval=1, **delivery)
    arrived >> IngestBatchOperator(task_id="ingest", dataset=DATASET, on_hold=TELL, **delivery)

with DAG(
    "daily",
    schedule="@daily",
    start_date=datetime(2026, 1, 1),
    end_date=datetime(2026, 1, 3),
    catchup=False,
):
    IngestBatchOperator(
        task_id="ingest",
        uri="s3://drop/vendor-a/{{ ds }}.parquet",
        source="vendor-a",
        policy=POLICY,
        dataset=DATASET,
    )

with DAG("asked", schedule=None, params={"batch": Param(type="string")}):
    batch = "{{ params.batch }}"
    asked = AskForReviewOperator(task_id="review", batch=batch, poke_interval=1)
    asked >> AdmitBatchOperator(task_id="announce", batch=batch, dataset=DATASET, part="released")

with DAG("training", schedule=[admitted(DATASET)]):
    EmptyOperator(task_id="train")

with DAG("outbox", schedule=None):
    FlushLineageOperator(task_id="flush")
