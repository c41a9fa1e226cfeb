"""Many batches in one run: dynamic task mapping over deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lazaretto.ledger.events import BatchAdmitted, DeliveryRefused

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.airflow
IMPORTS = """
from airflow.sdk import DAG, task, task_group
from lazaretto.operators import (
    AdmitBatchOperator, EmbedBatchOperator, QuarantineGateOperator, ReceiveBatchOperator,
    ScreenBatchOperator, ValidateBatchOperator, admitted,
)
"""

GROUP = """
@task_group
def ingest(uri, source, manifest):
    received = ReceiveBatchOperator(
        task_id="receive", uri=uri, source=source, manifest=manifest, policy=POLICY
    )
    validated = ValidateBatchOperator(task_id="validate", batch=received.output, policy=POLICY)
    screened = ScreenBatchOperator(task_id="screen", batch=validated.output, policy=POLICY)
    judged = QuarantineGateOperator(task_id="gate", batch=screened.output, policy=POLICY)
    admit = AdmitBatchOperator(task_id="admit", batch=judged.output, dataset="handwriting")
    @task(trigger_rule="all_done")
    def after(): pass
    @task(trigger_rule="all_done")
    def long_after(): pass
    admit >> after() >> long_after()

with DAG("grouped", schedule=None):
    ingest.expand_kwargs(DELIVERIES)
"""

FLAT = """
with DAG("flat", schedule=None):
    received = ReceiveBatchOperator.partial(
        task_id="receive", policy=POLICY, map_index_template="{{ task.uri }}"
    ).expand_kwargs(DELIVERIES)
    batch = received.output
    for step, operator in (
        ("validate", ValidateBatchOperator), ("embed", EmbedBatchOperator),
        ("screen", ScreenBatchOperator), ("gate", QuarantineGateOperator),
    ):
        batch = operator.partial(task_id=step, policy=POLICY).expand(batch=batch).output
    AdmitBatchOperator.partial(
        task_id="admit", dataset="handwriting", outlets=[admitted("handwriting")]
    ).expand(batch=batch)
"""


def program(text: str, world: Any, deliveries: list[dict[str, str]]) -> str:
    return f"{IMPORTS}\nPOLICY = {world.policy!r}\nDELIVERIES = {deliveries!r}\n{text}"


def test_in_a_mapped_group_no_batch_stops_another(world: Any, run_dag: Callable[..., Any]) -> None:
    from lazaretto.demo.deliveries import break_contract
    from lazaretto.sources.manifest import keygen

    stranger, _ = keygen()
    broken = break_contract(world.part(150, 250), np.random.default_rng(0))
    deliveries = [
        world.deliver("forged", world.part(100, 150), private_key=stranger),
        world.deliver("broken", broken),
        world.deliver("good", world.part(0, 100)),
    ]
    run = run_dag("grouped", text=program(GROUP, world, deliveries))

    def states(index: int) -> list[str]:
        steps = ["receive", "gate", "admit", "after", "long_after"]
        return [run.tasks[f"ingest.{step}[{index}]"] for step in steps]

    assert states(0)[:3] == ["failed", "upstream_failed", "upstream_failed"]
    assert states(1) == ["success", "success", "skipped", "skipped", "skipped"]
    assert states(2) == ["success"] * 5
    assert len(world.ledger(DeliveryRefused)) == 1
    assert len(world.ledger(BatchAdmitted)) == 1
    assert len(run.asset_events) == 1


def test_expanded_operators_admit_what_is_not_held(world: Any, run_dag: Callable[..., Any]) -> None:
    from lazaretto.demo.deliveries import break_contract

    broken = break_contract(world.part(100, 200), np.random.default_rng(0))
    deliveries = [world.deliver("good", world.part(0, 100)), world.deliver("broken", broken)]
    run = run_dag("flat", text=program(FLAT, world, deliveries))
    assert [run.tasks[f"gate[{n}]"] for n in (0, 1)] == ["success", "success"]
    assert [run.tasks[f"admit[{n}]"] for n in (0, 1)] == ["success", "skipped"]
    (admission,) = world.ledger(BatchAdmitted)
    assert [event["batch"] for event in run.asset_events] == [admission.batch]
