"""Waiting for people: in the triggerer, as a sensor, and what becomes of what they published."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import numpy as np
import pytest

from lazaretto.errors import NotFoundError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import BatchAdmitted, VersionAnnounced
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


def publish(world: Any, case: str) -> Any:
    from lazaretto.quarantine.review import publish

    return publish(world.workspace.acting(REVIEWER), case)


def awaiting(batch: str, **options: Any) -> Any:
    from lazaretto.operators import AwaitReviewOperator

    return AwaitReviewOperator(task_id="review", batch=batch, poke_interval=0.01, **options)


def test_it_defers_until_somebody_publishes_and_blocks_nobody(world: Any, held: Any) -> None:
    from airflow.sdk.exceptions import TaskDeferred

    from lazaretto.operators.triggers import CaseClosedTrigger

    operator = awaiting(held.batch)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute({"ti": MagicMock()})
    path, arguments = deferred.value.trigger.serialize()
    assert path == f"{CaseClosedTrigger.__module__}.CaseClosedTrigger"

    async def review() -> tuple[Any, int]:
        waiting = asyncio.ensure_future(anext(CaseClosedTrigger(**arguments).run()))
        turns = 0

        async def look() -> None:
            nonlocal turns
            for _ in range(20):  # the loop goes on while the catalog is asked in a thread
                turns += 1
                await asyncio.sleep(0.005)
            assert not waiting.done()

        await look()
        await asyncio.to_thread(decide, world, held.case, Action.REJECT)
        await look()  # decided, but it can be undone
        await asyncio.to_thread(publish, world, held.case)
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
    assert not operator.poke({"ti": MagicMock()})
    publish(world, held.case)
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
    assert publish(world, held.case) is None
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


def test_what_people_published_is_announced_once(world: Any, run_dag: Callable[..., Any]) -> None:
    from lazaretto.demo.digits import poison
    from lazaretto.quarantine.review import show_case

    rng = np.random.default_rng(1)
    ingested = run_dag(
        "lazaretto_ingest", world.deliver("odd", poison(world.part(0, 120), 0.1, rng))
    )
    judged = ingested.xcoms["gate"]
    assert judged["verdict"] == "HOLD_RECORDS"
    decide(world, judged["case"], Action.RELEASE)
    published = publish(world, judged["case"])
    assert show_case(world.workspace, judged["case"]).state == "CLOSED"
    run = run_dag("released", text=RELEASE.format(batch=judged["batch"]))
    assert run.xcoms["admit"]["rows"] == judged["held"]
    assert run.asset_events == [
        {
            "dataset": "handwriting",
            "version": published.version,
            "batch": judged["batch"],
            "rows": judged["held"],
        }
    ]
    again = run_dag("released", text=RELEASE.format(batch=judged["batch"]))
    assert again.xcoms["admit"] == run.xcoms["admit"]
    assert again.asset_events == []
    assert len(world.ledger(VersionAnnounced)) == 2  # the cleared, and the released
    with world.workspace.catalog.read() as connection:
        who = [e.actor for e in entries(connection, kinds=[BatchAdmitted.kind])]
    assert who == [Actor(ActorType.SERVICE, "airflow:lazaretto_ingest.admit"), REVIEWER]


def test_no_task_publishes_and_what_waits_is_told(
    world: Any, held: Any, run_dag: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    """Whoever runs the task before somebody publishes: what is decided can still be undone."""
    from lazaretto.quarantine.review import list_decisions, undo

    decide(world, held.case, Action.RELEASE)
    text = f"""
from airflow.sdk import DAG
from lazaretto.operators import AdmitBatchOperator
with DAG("early", schedule=None):
    AdmitBatchOperator(
        task_id="admit", batch={held.batch!r}, dataset="handwriting", part="released"
    )
"""
    run = run_dag("early", text=text)
    assert run.tasks == {"admit": "skipped"}
    assert run.asset_events == []
    assert world.ledger(BatchAdmitted) == []
    assert f"{held.held} released records wait for somebody to publish" in "".join(
        capfd.readouterr()
    )
    (decision,) = list_decisions(world.workspace, held.case)
    assert undo(world.workspace, decision.id, reason="a mistake").undoes == decision.id
