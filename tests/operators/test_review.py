"""Waiting for people: in the triggerer, as a sensor, and what becomes of what they decided."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import numpy as np
import pytest

from lazaretto.errors import NotFoundError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import AdmissionRefused, BatchAdmitted
from lazaretto.values import Action, Actor, ActorType

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.airflow
REVIEWER = Actor(ActorType.HUMAN, "user:reviewer")


@pytest.fixture
def held(world: Any) -> Any:
    """A batch that is held as a whole, as the gate judged it."""
    from lazaretto.demo.deliveries import break_contract
    from lazaretto.policy import Policy
    from lazaretto.stages.gate import gate
    from lazaretto.stages.receive import receive
    from lazaretto.stages.validate import validate

    conf = world.deliver("bad", break_contract(world.part(0, 100), np.random.default_rng(0)))
    policy = Policy.load(world.policy)
    batch = receive(world.workspace, conf["uri"], conf["source"], manifest=conf["manifest"]).id
    validate(world.workspace, batch, policy)
    return gate(world.workspace, batch, policy)


def decide(world: Any, case: str, action: Action) -> None:
    from lazaretto.quarantine.review import decide

    decide(world.workspace.acting(REVIEWER), case, action, all=True, reason="looked at it")


def awaiting(batch: str, **options: Any) -> Any:
    from lazaretto.operators import AwaitReviewOperator

    return AwaitReviewOperator(task_id="review", batch=batch, poke_interval=0.01, **options)


def test_it_defers_until_the_last_record_is_decided_and_blocks_nobody(
    world: Any, held: Any
) -> None:
    from airflow.sdk.exceptions import TaskDeferred

    from lazaretto.operators.triggers import CaseDecidedTrigger

    operator = awaiting(held.batch)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute({"ti": MagicMock()})
    path, arguments = deferred.value.trigger.serialize()
    assert path == f"{CaseDecidedTrigger.__module__}.CaseDecidedTrigger"

    async def review() -> tuple[Any, int]:
        waiting = asyncio.ensure_future(anext(CaseDecidedTrigger(**arguments).run()))
        turns = 0
        while turns < 20:  # the loop goes on while the catalog is asked in a thread
            turns += 1
            await asyncio.sleep(0.005)
        assert not waiting.done()
        await asyncio.to_thread(decide, world, held.case, Action.REJECT)
        return (await asyncio.wait_for(waiting, 30)).payload, turns

    event, _ = asyncio.run(review())
    assert event["actions"] == {"REJECT": held.held}
    resumed = awaiting(held.batch)  # Airflow makes a new object in a new process
    assert getattr(resumed, deferred.value.method_name)({"ti": MagicMock()}, event) == event
    assert resumed.worked_on == held.batch
    assert resumed.ledger_entries == event["seqs"]


def test_it_works_as_a_plain_sensor_too(world: Any, held: Any) -> None:
    operator = awaiting(held.batch, deferrable=False, mode="poke")
    assert not operator.poke({"ti": MagicMock()})
    decide(world, held.case, Action.RELEASE)
    assert operator.execute({"ti": MagicMock()})["actions"] == {"RELEASE": held.held}


def test_an_unjudged_batch_is_waited_for_and_an_unknown_one_is_not(world: Any) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from lazaretto.quarantine.outcome import review_outcome
    from lazaretto.stages.receive import receive

    conf = world.deliver("monday", world.part(0, 50))
    batch = receive(world.workspace, conf["uri"], conf["source"], manifest=conf["manifest"]).id
    assert review_outcome(world.workspace, batch) is None
    unknown = "vendor-a/0123456789abcdef0123456789abcdef"
    with pytest.raises(NotFoundError):
        review_outcome(world.workspace, unknown)
    with pytest.raises(AirflowFailException, match="no batch"):
        awaiting(unknown).execute({"ti": MagicMock()})


RELEASE = """
from airflow.sdk import DAG
from lazaretto.operators import AdmitBatchOperator, AwaitReviewOperator
with DAG("released", schedule=None):
    reviewed = AwaitReviewOperator(task_id="review", batch={batch!r}, deferrable=False, mode="poke")
    AdmitBatchOperator(
        task_id="admit", batch=reviewed.output, dataset="handwriting", part="released"
    )
"""


def test_what_reviewers_reject_is_never_admitted(
    world: Any,
    held: Any,
    run_dag: Callable[..., Any],
    airflow_events: Callable[[], list[dict[str, Any]]],
) -> None:
    decide(world, held.case, Action.REJECT)
    run = run_dag("released", text=RELEASE.format(batch=held.batch))
    assert run.tasks == {"review": "success", "admit": "skipped"}
    assert world.ledger(BatchAdmitted) == []
    assert run.asset_events == []
    # Airflow's event of the skipped admission does not claim that the dataset was written.
    done = [
        event
        for event in airflow_events()
        if event["job"]["name"] == "released.admit" and event["eventType"] != "START"
    ]
    assert [event["outputs"] for event in done] == [[]]
    (read,) = done[0]["inputs"]
    assert read["facets"]["version"]["datasetVersion"] == held.batch


def test_what_reviewers_release_is_admitted_once_and_announced(
    world: Any, run_dag: Callable[..., Any]
) -> None:
    from lazaretto.demo.digits import poison
    from lazaretto.quarantine.review import show_case

    rng = np.random.default_rng(1)
    ingested = run_dag(
        "lazaretto_ingest", world.deliver("odd", poison(world.part(0, 120), 0.1, rng))
    )
    judged = ingested.xcoms["gate"]
    assert judged["verdict"] == "HOLD_RECORDS"
    decide(world, judged["case"], Action.RELEASE)
    run = run_dag("released", text=RELEASE.format(batch=judged["batch"]))
    assert run.xcoms["admit"]["rows"] == judged["held"]
    assert [event["rows"] for event in run.asset_events] == [judged["held"]]
    assert show_case(world.workspace, judged["case"]).state == "CLOSED"
    again = run_dag("released", text=RELEASE.format(batch=judged["batch"]))
    assert again.xcoms["admit"] == run.xcoms["admit"]
    assert again.asset_events == []
    assert len(world.ledger(BatchAdmitted)) == 2  # the cleared, and the released
    with world.workspace.catalog.read() as connection:
        who = [e.actor for e in entries(connection, kinds=[BatchAdmitted.kind])]
    assert who == [
        Actor(ActorType.SERVICE, f"airflow:{task}.admit")
        for task in ("lazaretto_ingest", "released")
    ]


def test_no_task_is_a_second_person(world: Any, held: Any) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from lazaretto.authority.policies import register_policy
    from lazaretto.operators import AdmitBatchOperator
    from lazaretto.policy import Policy

    decide(world, held.case, Action.RELEASE)
    says = Policy.load(world.policy).model_dump(mode="json")
    strict = Policy.model_validate(says | {"review": {"require_two_people": True}})
    register_policy(world.workspace, strict, reason="four eyes")
    operator = AdmitBatchOperator(
        task_id="a", batch=held.batch, dataset="handwriting", part="released"
    )
    with pytest.raises(AirflowFailException, match="authenticate nobody"):
        operator.execute({"ti": MagicMock(), "outlet_events": {}})
    (refused,) = world.ledger(AdmissionRefused)
    assert (refused.code, refused.case) == ("two_people", held.case)
    assert world.ledger(BatchAdmitted) == []
    assert len(operator.ledger_entries) == 1
