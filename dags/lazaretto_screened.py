"""A delivery's way as one group, which waits until the file is there: on disk, or in a bucket."""

import os

from airflow.sdk import DAG, Param

from lazaretto.operators import screened_ingest

POLICY = os.environ.get("LAZARETTO_POLICY", "/opt/airflow/policies/policy.yaml")
DATASET = os.environ.get("LAZARETTO_DATASET", "reviews")  # the policy's dataset

with DAG(
    "lazaretto_screened",
    schedule=None,  # one run per delivery: from the API, or by hand
    params={
        "uri": Param(type="string", description="the delivery: a path, or s3://bucket/key"),
        "source": Param(type="string", description="who delivers, as registered"),
    },
):
    screened_ingest(dataset=DATASET, policy=POLICY, wait=True)
