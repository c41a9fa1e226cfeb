"""A delivery's way with its review: what people release and publish is announced, too."""

import os

from airflow.sdk import DAG, Param

from lazaretto.operators import (
    AdmitBatchOperator,
    AwaitReviewOperator,
    EmbedBatchOperator,
    QuarantineGateOperator,
    ReceiveBatchOperator,
    ScreenBatchOperator,
    ValidateBatchOperator,
)

POLICY = os.environ.get("LAZARETTO_POLICY", "/opt/airflow/policies/policy.yaml")
DATASET = os.environ.get("LAZARETTO_DATASET", "reviews")  # the policy's dataset

with DAG(
    "lazaretto_ingest_reviewed",
    schedule=None,  # one run per delivery: from a sensor, the API, or by hand
    max_active_runs=1000,  # a run waits for people for days, and takes no worker meanwhile
    params={
        "uri": Param(type="string", description="the delivery: a path or URI"),
        "source": Param(type="string", description="who delivers, as registered"),
        "manifest": Param(None, type=["null", "string"], description="its signed manifest"),
    },
):
    received = ReceiveBatchOperator(
        task_id="receive",
        uri="{{ params.uri }}",
        source="{{ params.source }}",
        manifest="{{ params.manifest or '' }}",
        policy=POLICY,
    )
    validated = ValidateBatchOperator(task_id="validate", batch=received.output, policy=POLICY)
    embedded = EmbedBatchOperator(task_id="embed", batch=validated.output, policy=POLICY)
    screened = ScreenBatchOperator(task_id="screen", batch=embedded.output, policy=POLICY)
    judged = QuarantineGateOperator(task_id="gate", batch=screened.output, policy=POLICY)
    AdmitBatchOperator(task_id="admit", batch=judged.output, dataset=DATASET)

    # Beside the gate, not behind it: a gate that holds the whole batch skips what is behind it.
    reviewed = AwaitReviewOperator(task_id="review", batch=screened.output)
    AdmitBatchOperator(task_id="announce", batch=reviewed.output, dataset=DATASET, part="released")
