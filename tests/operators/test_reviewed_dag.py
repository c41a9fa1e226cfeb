"""The shipped DAG with a review in it: people publish while it waits, and training is told."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import airflow_environment
import numpy as np
import pytest

from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import BatchAdmitted, BatchScreened, VersionAnnounced
from lazaretto.quarantine import review
from lazaretto.quarantine.outcome import review_outcome
from lazaretto.values import Action, Actor, ActorType

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.airflow
ANN = Actor(ActorType.HUMAN, "user:ann")
DAG = "lazaretto_ingest_reviewed"


def people(world: Any, act: Callable[[Any, str], None]) -> threading.Thread:
    """Somebody who acts once the batch is judged, beside the DAG's one process.

    Airflow's `dag.test` runs one task at a time, and waits inside the one that waits: so the gate's
    work is done here, too, as it would be done by another worker.
    """
    from lazaretto.policy import Policy
    from lazaretto.stages.gate import gate

    def run() -> None:
        while not world.ledger(BatchScreened):
            tick.wait(0.05)
        (screened,) = world.ledger(BatchScreened)
        judged = gate(world.workspace, screened.batch, Policy.load(world.policy))
        act(world.workspace.acting(ANN), judged.case)

    tick = threading.Event()
    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_the_shipped_dag_waits_for_people_and_announces_what_they_published(
    world: Any, run_dag: Callable[..., Any]
) -> None:
    from lazaretto.demo.digits import poison

    def act(workspace: Any, case: str) -> None:
        batch = review.show_case(workspace, case).batch
        review.decide(workspace, case, Action.RELEASE, all=True, reason="looked at it")
        assert review_outcome(workspace, batch) is None  # decided, and it waits all the same
        review.publish(workspace, case)

    text = (airflow_environment.DAGS / f"{DAG}.py").read_text()
    text = text.replace('task_id="review"', 'task_id="review", poke_interval=0.05')
    conf = world.deliver("odd", poison(world.part(0, 120), 0.1, np.random.default_rng(1)))
    ann = people(world, act)
    run = run_dag(DAG, conf, text=text)
    ann.join()
    steps = ["receive", "validate", "embed", "screen", "gate", "admit", "review", "announce"]
    assert run.tasks == dict.fromkeys(steps, "success")
    held = run.xcoms["gate"]["held"]
    assert run.xcoms["review"]["actions"] == {"RELEASE": held}
    assert run.xcoms["announce"]["rows"] == held
    assert sorted(event["rows"] for event in run.asset_events) == sorted([held, 120 - held])
    with world.workspace.catalog.read() as connection:
        admitted = {e.actor for e in entries(connection, kinds=[BatchAdmitted.kind])}
    assert admitted == {ANN, Actor(ActorType.SERVICE, f"airflow:{DAG}.admit")}
    assert len(world.ledger(VersionAnnounced)) == 2


GROUP = """
from airflow.sdk import DAG
from lazaretto.operators import screened_ingest
with DAG("grouped", schedule=None):
    screened_ingest(
        dataset="handwriting", policy={policy!r}, group_id="gate", review=True,
        tasks={{"review": {{"poke_interval": 0.05}}}}, **{delivery!r},
    )
"""


def test_a_group_with_review_announces_what_people_published(
    world: Any, run_dag: Callable[..., Any]
) -> None:
    from lazaretto.demo.digits import poison

    def act(workspace: Any, case: str) -> None:
        review.decide(workspace, case, Action.RELEASE, all=True, reason="looked at it")
        review.publish(workspace, case)

    odd = world.deliver("odd", poison(world.part(0, 120), 0.1, np.random.default_rng(1)))
    ann = people(world, act)
    run = run_dag("grouped", text=GROUP.format(policy=world.policy, delivery=odd))
    ann.join()
    assert set(run.tasks.values()) == {"success"}
    held = run.xcoms["gate.gate"]["held"]
    assert run.xcoms["gate.announce"]["rows"] == held > 0
    assert sorted(event["rows"] for event in run.asset_events) == sorted([held, 120 - held])
