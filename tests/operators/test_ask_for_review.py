"""Required Actions: people are asked in Airflow, and the case alone decides on records."""

from __future__ import annotations

import asyncio
import re
import string
import threading
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazaretto.ledger.events import BatchAdmitted, RecordsDecided
from lazaretto.quarantine import review
from lazaretto.values import Action, Actor, ActorType

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.airflow
ANN = Actor(ActorType.HUMAN, "user:ann")
ASKED = """
from airflow.sdk import DAG, task
from lazaretto.operators import AdmitBatchOperator, AskForReviewOperator
with DAG("asked", schedule=None):
    asked = AskForReviewOperator(task_id="review", batch={batch!r}, poke_interval=0.05)
    released = AdmitBatchOperator(
        task_id="admit", batch={batch!r}, dataset="handwriting", part="released"
    )
    @task(trigger_rule="all_done")
    def always(): pass
    asked >> released >> always()
"""


@pytest.fixture
def received(world: Any) -> str:
    """A batch of which everything will be held."""
    from lazaretto.demo.deliveries import break_contract
    from lazaretto.policy import Policy
    from lazaretto.stages.receive import receive
    from lazaretto.stages.validate import validate

    conf = world.deliver("bad", break_contract(world.part(0, 100), np.random.default_rng(0)))
    batch = receive(world.workspace, conf["uri"], conf["source"], manifest=conf["manifest"]).id
    validate(world.workspace, batch, Policy.load(world.policy))
    return batch


def judge(world: Any, batch: str) -> Any:
    from lazaretto.policy import Policy
    from lazaretto.stages.gate import gate

    return gate(world.workspace, batch, Policy.load(world.policy))


@pytest.fixture
def held(world: Any, received: str) -> Any:
    """The same, judged."""
    return judge(world, received)


def publish_all(world: Any, case: str) -> None:
    mine = world.workspace.acting(ANN)
    review.decide(mine, case, Action.RELEASE, all=True, reason="looked at it")
    review.publish(mine, case)


@pytest.fixture
def answering(dags_folder: Any) -> Callable[..., list[dict[str, Any]]]:
    """Answers the next required action as somebody who is signed in, by Airflow's own API."""
    from airflow.api_fastapi.app import create_app
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from fastapi.testclient import TestClient

    # A database that is busy answers 500, and is asked again: a DAG waits for this thread.
    client = TestClient(
        create_app(apps="core"), base_url="http://testserver", raise_server_exceptions=False
    )
    manager = client.app.state.auth_manager  # type: ignore[attr-defined]
    jwt = manager.generate_jwt(SimpleAuthManagerUser(username="op", role="OP"))
    client.headers["Authorization"] = f"Bearer {jwt}"
    asked: list[dict[str, Any]] = []
    stop = threading.Event()

    def loop(dag: str, option: str, before: Callable[[], object]) -> None:
        ready = False
        while not stop.wait(0.1):
            found = client.get(f"/api/v2/dags/{dag}/dagRuns/~/hitlDetails")
            for one in found.json().get("hitl_details", []) if found.is_success else ():
                task = one["task_instance"]
                if one["response_received"] or task["state"] != "awaiting_input":
                    continue
                if not ready:
                    before()
                ready = True
                path = f"dagRuns/{task['dag_run_id']}/taskInstances/{task['task_id']}"
                said = client.patch(
                    f"/api/v2/dags/{dag}/{path}/-1/hitlDetails",
                    json={"chosen_options": [option], "params_input": {}},
                )
                if said.is_server_error:
                    continue
                asked.append(one | {"status": said.status_code})
                return

    threads: list[threading.Thread] = []

    def start(dag: str, option: str, before: Callable[[], object]) -> list[dict[str, Any]]:
        threads.append(threading.Thread(target=loop, args=(dag, option, before)))
        threads[-1].start()
        return asked

    yield start
    stop.set()
    for thread in threads:
        thread.join()


def test_it_asks_with_a_link_and_goes_on_once_the_case_is_published(
    world: Any,
    held: Any,
    run_dag: Callable[..., Any],
    answering: Callable[..., list[dict[str, Any]]],
) -> None:
    asked = answering("asked", "Continue", lambda: publish_all(world, held.case))
    run = run_dag("asked", text=ASKED.format(batch=held.batch))
    (question,) = asked
    assert question["status"] == 200
    assert question["options"] == ["Continue", "Stop"]
    assert question["subject"].startswith(f"100 records of {held.batch} are held")
    assert f"(/plugin/quarantine/lazaretto/batches/{held.batch})" in question["body"]
    assert run.tasks == dict.fromkeys(("review", "admit", "always"), "success")
    assert run.xcoms["review"]["actions"] == {"RELEASE": 100}
    assert run.xcoms["admit"]["rows"] == 100
    (decided,) = world.ledger(RecordsDecided)
    assert decided.action is Action.RELEASE
    assert set(run.xcoms["review"]) == {"batch", "cases", "actions", "seqs"}  # and no record


def test_stop_skips_what_is_behind_and_leaves_the_case(
    world: Any,
    held: Any,
    run_dag: Callable[..., Any],
    answering: Callable[..., list[dict[str, Any]]],
) -> None:
    answering("asked", "Stop", lambda: None)
    run = run_dag("asked", text=ASKED.format(batch=held.batch))
    assert run.tasks == {"review": "success", "admit": "skipped", "always": "skipped"}
    assert run.xcoms["review"] == {"batch": held.batch, "answer": "Stop"}
    assert world.ledger(RecordsDecided) == []
    assert world.ledger(BatchAdmitted) == []
    assert review.show_case(world.workspace, held.case).state == "OPEN"


def asking(batch: str, **options: Any) -> Any:
    from lazaretto.operators import AskForReviewOperator

    return AskForReviewOperator(task_id="review", batch=batch, poke_interval=0.01, **options)


def answer(option: str) -> dict[str, Any]:
    return {"chosen_options": [option], "params_input": {}, "responded_by_user": {"id": "ann"}}


def test_continue_before_the_case_is_published_decides_nothing_and_waits(
    world: Any, held: Any
) -> None:
    from airflow.sdk.exceptions import TaskDeferred

    from lazaretto.operators.triggers import CaseClosedTrigger

    review.decide(world.workspace, held.case, Action.RELEASE, all=True, reason="looked at it")
    with pytest.raises(TaskDeferred) as deferred:
        asking(held.batch).answered({"ti": MagicMock()}, answer("Continue"))
    assert isinstance(deferred.value.trigger, CaseClosedTrigger)
    assert deferred.value.method_name == "resume"
    assert world.ledger(BatchAdmitted) == []
    review.publish(world.workspace, held.case)
    done = asking(held.batch).answered({"ti": MagicMock()}, answer("Continue"))
    assert done["actions"] == {"RELEASE": 100}


def test_it_waits_for_the_gate(world: Any, received: str) -> None:
    from airflow.sdk.exceptions import TaskDeferred

    from lazaretto.operators.triggers import BatchJudgedTrigger

    with pytest.raises(TaskDeferred) as deferred:
        asking(received).execute({"ti": MagicMock()})
    assert deferred.value.method_name == "judged"
    path, arguments = deferred.value.trigger.serialize()
    assert path.endswith(".BatchJudgedTrigger")
    judge(world, received)
    event = asyncio.run(anext(BatchJudgedTrigger(**arguments).run()))
    assert event.payload == {"batch": received, "cases": 1}


def test_nobody_answers(held: Any) -> None:
    from airflow.sdk.exceptions import AirflowException

    with pytest.raises(AirflowException, match="nobody answered"):
        asking(held.batch).answered({"ti": MagicMock()}, {"error": "x", "error_type": "timeout"})


def test_it_never_holds_a_worker(received: str) -> None:
    for odd in ({"deferrable": False}, {"mode": "poke"}):
        with pytest.raises(ValueError, match="never holds a worker"):
            asking(received, **odd)


@given(st.text(max_size=300) | st.sampled_from(["![x](https://evil/p)", "<img>", "# a", "`"]))
def test_whatever_a_source_writes_is_no_markdown(text: str) -> None:
    from lazaretto.operators.hold_message import in_markdown, words

    escaped = in_markdown(words(text))
    assert "\n" not in escaped
    plain = re.sub(r"\\([!-/:-@\[-`{-~])", "", escaped)  # what is not escaped
    assert not set(plain) & set(string.punctuation)
