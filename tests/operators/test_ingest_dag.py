"""The ingestion DAG, the very file that users copy, in real Airflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lazaretto.ledger.events import (
    BatchAdmitted,
    BatchJudged,
    DeliveryRefused,
    ShadowJudged,
    VersionAnnounced,
)

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.airflow
TASKS = ["receive", "validate", "embed", "screen", "gate", "admit"]


def of_task(events: list[dict[str, Any]], task: str) -> list[dict[str, Any]]:
    return [event for event in events if event["job"]["name"] == f"lazaretto_ingest.{task}"]


def our_facets(event: dict[str, Any]) -> set[str]:
    found = set(event["run"]["facets"])
    for dataset in event["inputs"] + event["outputs"]:
        for kind in ("facets", "inputFacets", "outputFacets"):
            found |= set(dataset.get(kind) or {})
    return {name for name in found if name.startswith("lazaretto_")}


def test_a_good_delivery_is_admitted_once_and_announced(
    world: Any, run_dag: Callable[..., Any], airflow_events: Callable[[], list[dict[str, Any]]]
) -> None:
    conf = world.deliver("monday", world.part(0, 120))
    run = run_dag("lazaretto_ingest", conf)
    assert run.tasks == dict.fromkeys(TASKS, "success")
    (admitted,) = world.ledger(BatchAdmitted)
    assert run.asset_events == [
        {
            "dataset": "handwriting",
            "version": admitted.version,
            "batch": admitted.batch,
            "rows": admitted.rows,
        }
    ]
    assert admitted.rows == run.xcoms["gate"]["cleared"]
    assert run.links["screen"].endswith(f"/batches/{admitted.batch}")

    events = airflow_events()
    for task in TASKS:
        (complete,) = [e for e in of_task(events, task) if e["eventType"] == "COMPLETE"]
        assert our_facets(complete), task
        assert complete["inputs"], task
    # Lazaretto's own events name the task that made them as their parent.
    tasks = {event["run"]["runId"] for task in TASKS for event in of_task(events, task)}
    ours = [event for event in events if event["job"]["name"].startswith("lazaretto.screen")]
    assert ours
    assert {event["run"]["facets"]["parent"]["run"]["runId"] for event in ours} <= tasks
    # The same delivery again, as a cleared DAG run would: no second row, no second admission.
    again = run_dag("lazaretto_ingest", conf)
    assert again.tasks == run.tasks
    assert again.xcoms["admit"] == run.xcoms["admit"]
    assert len(world.ledger(BatchAdmitted)) == 1
    # Nor a second announcement: what trains on the asset has this version.
    assert again.asset_events == []
    (told,) = world.ledger(VersionAnnounced)
    assert (told.dataset, told.version) == ("handwriting", admitted.version)


def test_nothing_of_a_held_batch_gets_through(world: Any, run_dag: Callable[..., Any]) -> None:
    from lazaretto.demo.deliveries import break_contract

    broken = break_contract(world.part(0, 120), np.random.default_rng(0))
    run = run_dag("lazaretto_ingest", world.deliver("bad-day", broken))
    assert run.tasks == dict.fromkeys(TASKS[:-1], "success") | {"admit": "skipped"}
    (judged,) = world.ledger(BatchJudged)
    assert judged.verdict.holds_batch
    assert run.xcoms["gate"]["case"] == judged.case
    assert world.ledger(BatchAdmitted) == []
    assert run.asset_events == []


GATED = """
from airflow.sdk import DAG, task, teardown
from lazaretto.operators import QuarantineGateOperator, admitted
with DAG("gated", schedule=None):
    gate = QuarantineGateOperator(task_id="gate", batch={batch!r}, policy={policy!r})
    @task(trigger_rule="{rule}")
    def train(): pass
    @task(trigger_rule="{rule}", outlets=[admitted("handwriting")])
    def later(): pass
    @teardown
    def clean_up(): pass
    gate >> train() >> later() >> clean_up()
"""


@pytest.fixture
def broken_batch(world: Any) -> str:
    from lazaretto.demo.deliveries import break_contract
    from lazaretto.policy import Policy
    from lazaretto.stages.receive import receive
    from lazaretto.stages.validate import validate

    broken = break_contract(world.part(0, 120), np.random.default_rng(0))
    conf = world.deliver("bad-day", broken)
    batch = receive(world.workspace, conf["uri"], conf["source"], manifest=conf["manifest"])
    validate(world.workspace, batch.id, Policy.load(world.policy))
    return batch.id


@pytest.mark.parametrize("rule", ["all_done", "none_failed"])
def test_a_held_batch_skips_what_is_behind_the_gate_whatever_its_trigger_rule(
    world: Any, broken_batch: str, run_dag: Callable[..., Any], rule: str
) -> None:
    text = GATED.format(batch=broken_batch, policy=world.policy, rule=rule)
    run = run_dag("gated", text=text)
    skipped = dict.fromkeys(["train", "later"], "skipped")
    assert run.tasks == {"gate": "success", "clean_up": "success"} | skipped
    assert run.asset_events == []


def test_a_policy_that_is_not_in_force_stops_at_the_gate_and_says_so(
    world: Any, run_dag: Callable[..., Any]
) -> None:
    from lazaretto.authority.policies import register_policy
    from lazaretto.policy import Policy

    says = Policy.load(world.policy).model_dump(mode="json")
    other = Policy.model_validate(says | {"review": {"expire_days": 5}})
    register_policy(world.workspace, other, reason="faster reviews")
    run = run_dag("lazaretto_ingest", world.deliver("monday", world.part(0, 120)))
    assert run.tasks == dict.fromkeys(TASKS[:-1], "success") | {"admit": "skipped"}
    assert "lazaretto policy register" in run.xcoms["gate"]["shadow"]
    assert len(world.ledger(ShadowJudged)) == 1
    assert (world.ledger(BatchJudged), world.ledger(BatchAdmitted)) == ([], [])


def test_a_gate_fails_before_a_task_that_would_not_wait_for_it(
    world: Any, broken_batch: str, run_dag: Callable[..., Any]
) -> None:
    text = GATED.format(batch=broken_batch, policy=world.policy, rule="always")
    run = run_dag("gated", text=text)
    assert run.tasks["gate"] == "failed"
    assert world.ledger(BatchJudged) == []


def test_a_forged_delivery_fails_and_says_why(
    world: Any, run_dag: Callable[..., Any], airflow_events: Callable[[], list[dict[str, Any]]]
) -> None:
    from lazaretto.sources.manifest import keygen

    stranger, _ = keygen()
    run = run_dag(
        "lazaretto_ingest", world.deliver("forged", world.part(0, 50), private_key=stranger)
    )
    assert run.state == "failed"
    assert run.tasks["receive"] == "failed"
    assert set(run.tasks.values()) == {"failed", "upstream_failed"}
    (refused,) = world.ledger(DeliveryRefused)
    assert refused.code == "unknown_key"
    (fail,) = [e for e in of_task(airflow_events(), "receive") if e["eventType"] == "FAIL"]
    assert our_facets(fail)
    assert "key" in fail["run"]["facets"]["errorMessage"]["message"]
    assert run.asset_events == []


def test_a_replay_fails(world: Any, run_dag: Callable[..., Any]) -> None:
    from lazaretto.stages.receive import receive

    first = world.deliver("monday", world.part(0, 60))
    receive(world.workspace, first["uri"], first["source"], manifest=first["manifest"])
    run = run_dag("lazaretto_ingest", world.deliver("tuesday", world.part(0, 60)))
    assert run.tasks["receive"] == "failed"
    assert [refused.code for refused in world.ledger(DeliveryRefused)] == ["replay"]
    assert world.ledger(BatchAdmitted) == []
