"""Operators of incidents: opened once, asked again, and people are told of each answer once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pytest
from yard import blobs, make_yard

from lazaretto import incidents, stages
from lazaretto.values import HoldKind, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from yard import Yard

pytestmark = pytest.mark.airflow


@pytest.fixture
def yard(
    fitted_reference: str, sqlite_catalog: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Yard:
    from lazaretto.storage.workspace import open_workspace

    monkeypatch.setenv("LAZARETTO_CATALOG_URL", sqlite_catalog)
    monkeypatch.setenv("LAZARETTO_STORE", str(tmp_path / "store"))
    made = make_yard(open_workspace(), fitted_reference, tmp_path)
    made.admit("monday", blobs(60, seed=5, prefix="m"))
    return made


def train(yard: Yard, version: str) -> None:
    taken = stages.snapshot(yard.workspace, "blobs")
    stages.register_model(yard.workspace, "net", version, "blobs", taken.version)


class Told:
    """A hook that keeps what it was told, and fails as often as it shall."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.of: list[Any] = []

    def __call__(self, context: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("no such host")
        self.of.append(context["incident"])


def run(task: Any) -> dict[str, Any]:
    done: dict[str, Any] = task.execute({"ti": MagicMock(), "run_id": "r"})
    assert json.dumps(done)  # it is an XCom
    return done


def opens(on_open: Any = (), on_change: Any = (), **options: Any) -> Any:
    from lazaretto.operators import OpenIncidentOperator

    about = {"source": "vendor-a"} if not {"batch", "model"} & options.keys() else {}
    hooks = {"on_open": on_open, "on_change": on_change}
    return OpenIncidentOperator(task_id="incident", why="a bucket", **about, **hooks, **options)


def test_one_incident_is_opened_and_asked_again_until_it_is_closed(yard: Yard) -> None:
    train(yard, "1")
    opened, changed = Told(), Told()
    task = opens(opened, changed)
    first = run(task)
    assert (first["models"], first["complete"], first["changed"]) == (["net@1"], True, [])
    assert first["link"].endswith(f"/lazaretto/incidents/{first['id']}")
    again = run(task)
    assert (again["id"], again["seq"]) == (first["id"], first["seq"])
    assert ([one.id for one in opened.of], changed.of) == ([first["id"]], [])
    train(yard, "2")
    assert run(task)["changed"] == ["1 more affected model version"]
    assert run(task)["changed"] == []
    (one,) = changed.of
    assert (one.models, one.changed) == (["net@1", "net@2"], ["1 more affected model version"])
    incidents.close(yard.workspace, first["id"], "trained anew")
    assert run(task)["id"] != first["id"]
    assert len(opened.of) == 2


def test_it_can_be_about_whatever_a_trace_is_asked_about(yard: Yard) -> None:
    from lazaretto.lineage.trace.ask import KINDS
    from lazaretto.operators import OpenIncidentOperator
    from lazaretto.operators.open_incident import _PARAMETERS

    assert tuple(_PARAMETERS) == KINDS
    assert set(_PARAMETERS.values()) <= set(OpenIncidentOperator.template_fields)
    train(yard, "1")
    task = OpenIncidentOperator(
        task_id="incident", why="a row too many", dataset_version="blobs@1", freeze=["blobs"]
    )
    found = run(task)
    assert (found["kind"], found["subject"], found["models"]) == ("dataset", "blobs@1", ["net@1"])
    assert run(task)["id"] == found["id"]
    (hold,) = incidents.show_incident(yard.workspace, found["id"]).holds
    assert (hold.what, hold.name) == (HoldKind.PUBLISHING, "blobs")


def test_what_a_person_found_first_is_told_as_well(yard: Yard) -> None:
    opened, changed = Told(), Told()
    task = opens(opened, changed)
    found = run(task)
    train(yard, "1")
    train(yard, "2")
    incidents.refresh(yard.workspace, found["id"])
    run(task)
    assert [one.changed for one in changed.of] == [["2 more affected model versions"]]


def test_a_hook_that_fails_is_called_again_and_others_are_called(yard: Yard) -> None:
    failing, other = Told(failures=1), Told()
    task = opens([failing, other])
    run(task)
    assert (len(failing.of), len(other.of)) == (0, 1)
    run(task)
    run(task)
    assert (len(failing.of), len(other.of)) == (1, 2)


def test_what_is_to_be_frozen_is_frozen_when_it_is_opened(yard: Yard) -> None:
    train(yard, "1")
    found = run(opens(freeze_source=True, freeze=["blobs"], freeze_models=["net"]))
    holds = incidents.show_incident(yard.workspace, found["id"]).holds
    assert [(hold.what, hold.name) for hold in holds] == [
        (HoldKind.SOURCE, "vendor-a"),
        (HoldKind.PUBLISHING, "blobs"),
        (HoldKind.PROMOTION, "net"),
    ]
    assert {hold.by.id for hold in holds} == {"airflow:adhoc_airflow.incident"}
    incidents.lift_hold(
        yard.workspace, found["id"], HoldKind.SOURCE, "vendor-a", reason="a person decided"
    )
    run(opens(freeze_source=True))
    assert len(incidents.show_incident(yard.workspace, found["id"]).holds) == 2


def test_a_frozen_source_is_held_and_a_frozen_dataset_takes_nothing(yard: Yard) -> None:
    from airflow.sdk.exceptions import AirflowFailException, DownstreamTasksSkipped

    from lazaretto.operators import AdmitBatchOperator, QuarantineGateOperator

    judged = yard.judge("tuesday", blobs(60, seed=6, prefix="t"), "vendor-b")
    found = run(opens(freeze_source=True, freeze=["blobs"]))
    admit = AdmitBatchOperator(task_id="admit", batch=judged.batch, dataset="blobs")
    with pytest.raises(
        AirflowFailException, match=f"'blobs' is on hold for incident {found['id']}"
    ):
        run(admit)
    batch = yard.receive("wednesday", blobs(60, seed=7, prefix="w")).id
    for stage in (stages.validate, stages.embed, stages.screen):
        stage(yard.workspace, batch, yard.policy)
    held: list[Any] = []
    gate = QuarantineGateOperator(
        task_id="gate",
        batch=batch,
        policy=yard.policy.model_dump(mode="json", exclude_unset=True),
        on_hold=held.append,
    )
    alone = MagicMock()
    alone.get_flat_relatives.return_value = []
    with pytest.raises(DownstreamTasksSkipped):
        gate.execute({"ti": MagicMock(try_number=1, map_index=-1), "run_id": "r", "task": alone})
    (hold,) = [context["hold"] for context in held]
    assert hold.verdict == Verdict.HOLD_BATCH
    assert f"on hold for incident {found['id']}" in hold.notes[0]


@pytest.mark.parametrize(
    "options",
    [
        {"source": "a", "batch": "b"},
        {},
        {"model": "a@1", "freeze_source": True},
        {"policy_version": "blobs@12345678", "freeze_source": True},
    ],
)
def test_what_no_incident_is_about_is_refused_when_the_dag_is_read(options: Any) -> None:
    from lazaretto.operators import OpenIncidentOperator

    with pytest.raises(ValueError, match=r"one thing|name it"):
        OpenIncidentOperator(task_id="incident", why="why", **options)


def test_a_trace_that_cannot_say_tells_people_too(yard: Yard) -> None:
    from lazaretto.operators import TraceIncidentOperator

    told = Told()
    # No model learned from it, and the batch does not say when it was collected.
    task = TraceIncidentOperator(
        task_id="trace", source="vendor-a", since="2020-01-01", notifiers=[told]
    )
    done = run(task)
    assert (done["models"], done["unknown"], done["complete"]) == ([], [], False)
    assert [one.complete for one in told.of] == [False]
    whole = TraceIncidentOperator(task_id="trace", source="vendor-b", notifiers=[told])
    assert run(whole)["complete"] is True
    assert len(told.of) == 1


def test_an_incident_that_cannot_say_says_so(yard: Yard) -> None:
    from lazaretto.operators.incident_message import as_json, incident_message

    opened = Told()
    assert run(opens(opened, since="2020-01-01"))["cannot_say"] is True
    (told,) = opened.of
    message = incident_message(told, "Ann is on duty.")
    assert "cannot say" in message.title
    assert ("Answer", "not whole: more may be affected") in message.facts
    assert as_json(told, message)["event"] == "lazaretto.incident"
    assert "Ann is on duty." in as_json(told, message)["text"]
