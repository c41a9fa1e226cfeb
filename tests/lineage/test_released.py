"""Whoever let a held record through is in the trace and the report: who decided, who published."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from yard import ANN, Yard, blobs, make_yard

from lazaretto import lineage, stages
from lazaretto.dataset.files import dataset_path
from lazaretto.dataset.recall import recall
from lazaretto.lineage.trace.report import to_html, to_json
from lazaretto.quarantine import review
from lazaretto.values import Action, Actor, ActorType

if TYPE_CHECKING:
    from pathlib import Path

    from lazaretto.stages import Judgement
    from lazaretto.storage.workspace import Workspace

BOB = Actor(ActorType.HUMAN, "user:bob")
EVE = Actor(ActorType.HUMAN, "user:eve")
SHELL = Actor(ActorType.OS_USER, "os:carol@gate")
TASK = Actor(ActorType.SERVICE, "airflow:ingest.admit")


@pytest.fixture
def yard(sqlite_workspace: Workspace, fitted_reference: str, tmp_path: Path) -> Yard:
    """A yard of which a model learned what was cleared and what three people let through."""
    return make_yard(sqlite_workspace, fitted_reference, tmp_path)


def _reviewed(yard: Yard, publisher: Actor) -> Judgement:
    """Ann releases one record, Bob relabels another one, Eve approves, somebody publishes."""
    workspace = yard.workspace
    judged = yard.judge("mixed", blobs(60, seed=5, flips=4))
    stages.admit(workspace, judged.batch)
    case = str(judged.case)
    ann, bob = workspace.acting(ANN), workspace.acting(BOB)
    review.decide(ann, case, Action.REJECT, all=True, reason="no")
    review.decide(ann, case, Action.RELEASE, ids=["r0"], reason="fine")
    review.decide(bob, case, Action.RELABEL, ids=["r1"], label="1", reason="a one")
    seen = review.show_case(workspace, case).decided
    review.approve(workspace.acting(EVE), case, seen=seen)
    review.publish(workspace.acting(publisher), case)
    taken = stages.snapshot(workspace, "blobs")
    stages.register_model(workspace, "net", "1", "blobs", taken.version)
    return judged


@pytest.mark.parametrize("publisher", [BOB, SHELL, TASK])
def test_a_batch_tells_who_decided_approved_and_published(yard: Yard, publisher: Actor) -> None:
    judged = _reviewed(yard, publisher)
    trace = lineage.trace_batch(yard.workspace, judged.batch)
    (one,) = trace.releases
    assert one.decided_by == ["user:ann", "user:bob"]
    assert one.approved_by == ["user:eve"]
    assert one.published_by == publisher.id
    assert (one.case, one.records, one.dataset) == (judged.case, 2, "blobs")
    mine = {d.what: d.actor for d in trace.decisions}
    assert mine == {
        "HOLD_RECORDS": "policy:blobs",
        "ADMIT": "policy:blobs",
        "REJECT": "user:ann",
        "RELEASE": "user:ann",
        "RELABEL": "user:bob",
        "APPROVE": "user:eve",
        "PUBLISH": publisher.id,
    }
    assert json.loads(to_json(trace))["releases"][0]["published_by"] == publisher.id
    page = to_html(trace)
    assert "Who let held records through" in page
    row = page.split("Who let held records through")[1].split("</table>")[0]
    assert "user:ann, user:bob" in row
    assert "user:eve" in row
    assert publisher.id in row


def test_what_the_model_learned_from_names_them_too(yard: Yard) -> None:
    _reviewed(yard, SHELL)
    for trace in (
        lineage.trace_model(yard.workspace, "net", "1"),
        lineage.trace_source(yard.workspace, "vendor-a"),
    ):
        assert [one.published_by for one in trace.releases] == [SHELL.id]


@pytest.mark.parametrize(
    ("record", "action", "decided_by", "published_by"),
    [
        ("r0", "RELEASE", "user:ann", BOB.id),
        ("r1", "RELABEL", "user:bob", BOB.id),
        ("r2", "REJECT", "user:ann", None),
        ("r20", None, None, None),
    ],
)
def test_one_record_names_its_own(
    yard: Yard, record: str, action: str | None, decided_by: str | None, published_by: str | None
) -> None:
    judged = _reviewed(yard, BOB)
    trace = lineage.trace_record(yard.workspace, f"{judged.batch}#{record}")
    state = trace.record
    assert state is not None
    assert (state.action, state.decided_by, state.published_by) == (
        action, decided_by, published_by,
    )  # fmt: skip
    assert state.approved_by == (["user:eve"] if published_by else [])
    assert state.held == (action is not None)
    page = to_html(trace).split("The record</h2>")[1].split("</dl>")[0]
    for name in (decided_by, published_by):
        assert name is None or name in page


def test_of_two_publications_a_record_is_of_its_own(yard: Yard) -> None:
    """One decision, whose records were published at two times by two people."""
    workspace = yard.workspace
    judged = yard.judge("mixed", blobs(60, seed=5, flips=4))
    case, batch = str(judged.case), judged.batch
    review.decide(workspace, case, Action.RELEASE, all=True, reason="fine")
    later = review.decide(workspace, case, Action.REJECT, ids=["r1"], reason="not yet")
    review.publish(workspace.acting(BOB), case)

    def publisher(record: str) -> str | None:
        state = lineage.trace_record(workspace, f"{batch}#{record}").record
        return None if state is None else state.published_by

    assert (publisher("r0"), publisher("r1")) == (BOB.id, None)
    review.undo(workspace, later.id, reason="now it is")
    assert publisher("r1") is None
    review.publish(workspace.acting(EVE), case)
    assert (publisher("r0"), publisher("r1")) == (BOB.id, EVE.id)
    recall(workspace, "blobs", ids=[f"{batch}#r0"], reason="found late")
    assert (publisher("r0"), publisher("r1")) == (BOB.id, EVE.id)


def test_files_that_are_gone_are_named_and_nobody_is_made_up(yard: Yard) -> None:
    judged = _reviewed(yard, BOB)
    store = yard.workspace.store
    data = [path for path in store.list(dataset_path("blobs")) if path.endswith(".parquet")]
    store.delete(data)
    state = lineage.trace_record(yard.workspace, f"{judged.batch}#r0").record
    assert state is not None
    assert (state.decided_by, state.published_by) == ("user:ann", None)
    assert any(path in state.unchecked for path in data)
