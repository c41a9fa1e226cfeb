"""Incidents: asked, put on record, asked again, acted on, concluded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from yard import ANN, blobs

from lazaretto import incidents, stages
from lazaretto.dataset.recall import recall
from lazaretto.errors import ChangedStateError, LedgerError, NotFoundError, UsageError
from lazaretto.incidents.difference import difference
from lazaretto.incidents.production import in_production, named
from lazaretto.ledger import events
from lazaretto.ledger.chain import append
from lazaretto.quarantine import review
from lazaretto.sources.keys import keygen
from lazaretto.sources.registry import add_key, revoke_key
from lazaretto.storage import tables
from lazaretto.times import parse_time
from lazaretto.values import Action, Actor, ActorType, HoldKind, PlacedModel, Question

if TYPE_CHECKING:
    from yard import Yard

    from lazaretto.incidents import Incident, Overview
    from lazaretto.storage.workspace import Workspace

pytestmark = pytest.mark.alike

VENDOR = Question("source", "vendor-a")
SOURCE = (HoldKind.SOURCE, "vendor-a")
BOB = Actor(ActorType.HUMAN, "user:bob")


def train(yard: Yard, version: str, model: str = "net") -> None:
    """A model version, trained on what is admitted now."""
    taken = stages.snapshot(yard.workspace, "blobs")
    stages.register_model(yard.workspace, model, version, "blobs", taken.version)


def trained(yard: Yard) -> str:
    """A batch of vendor-a, and a model that learned from it."""
    batch = yard.admit("monday", blobs(60, seed=5, prefix="m")).batch
    train(yard, "1")
    return batch


def opened(workspace: Workspace, question: Question = VENDOR) -> Incident:
    return incidents.open_incident(workspace, question, reason="its bucket was open")


def commands(shown: Overview) -> list[str]:
    return [step.command for step in shown.steps if step.command is not None]


def test_an_incident_keeps_the_question_and_what_the_records_said(yard: Yard) -> None:
    batch = trained(yard)
    found = opened(yard.workspace)
    assert incidents.get_incident(yard.workspace, found.id) == found
    assert (found.state, found.opened_by, found.reason) == ("OPEN", ANN, "its bucket was open")
    assert (found.answer.batches, found.answer.models) == ([batch], ["net@1"])
    assert found.answer.complete is True
    assert [yard.workspace.store.read(file)[:1] for file in found.answer.report] == [b"{", b"<"]
    assert (found.affected, found.cannot_say) == (True, False)


def test_the_whole_life_is_on_record_in_order(yard: Yard) -> None:
    workspace = yard.workspace
    trained(yard)
    found = opened(workspace)
    assert incidents.assign(workspace, found.id, "user:ann")
    assert not incidents.assign(workspace, found.id, "user:ann")
    incidents.note(workspace.acting(BOB), found.id, "the vendor confirms it")
    incidents.place_hold(workspace, found.id, *SOURCE, reason="until we know more")
    train(yard, "2")
    incidents.refresh(workspace, found.id)
    incidents.lift_hold(workspace.acting(BOB), found.id, *SOURCE, reason="a new key")
    incidents.close(workspace, found.id, "trained anew")
    shown = incidents.show_incident(workspace, found.id)
    assert [(moment.by, moment.what) for moment in shown.timeline] == [
        ("user:ann", "opened: its bucket was open"),
        ("user:ann", "assigned to user:ann"),
        ("user:bob", "noted: the vendor confirms it"),
        ("user:ann", "source vendor-a put on hold: until we know more"),
        ("user:ann", "net@2 registered, trained on blobs@1"),
        ("user:ann", "asked again: 1 more affected model version"),
        ("user:bob", "hold on source vendor-a lifted: a new key"),
        ("user:ann", "closed: trained anew"),
    ]
    closed = shown.incident
    assert (closed.state, closed.conclusion, closed.closed_by) == ("CLOSED", "trained anew", ANN)
    assert (closed.assignee, closed.notes[0].text) == ("user:ann", "the vendor confirms it")
    assert (closed.affected, shown.steps) == (False, [])


def test_asking_again_tells_what_changed_and_records_nothing_else(yard: Yard) -> None:
    workspace = yard.workspace
    trained(yard)
    found = opened(workspace)
    same = incidents.refresh(workspace, found.id)
    assert (same.seq, same.changed.anything, same.incident) == (None, False, found)
    wednesday = yard.admit("wednesday", blobs(60, seed=7, prefix="w")).batch
    train(yard, "2")
    train(yard, "3")
    again = incidents.refresh(workspace, found.id)
    assert again.changed.sentences() == ["1 more batch", "2 more affected model versions"]
    assert again.changed.batches.new == [wednesday]
    assert again.changed.models.new == ["net@2", "net@3"]
    assert again.incident.answer.models == ["net@1", "net@2", "net@3"]
    assert again.incident.first == found.first
    shown = incidents.show_incident(workspace, found.id)
    assert shown.since_opened == again.changed


def test_a_closed_incident_is_affected_again_where_the_records_say_more(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    workspace = yard.workspace
    trained(yard)
    found = incidents.close(workspace, opened(workspace).id, "false alarm")
    assert not found.affected
    assert not incidents.refresh(workspace, found.id).incident.affected
    train(yard, "2")
    assert incidents.refresh(workspace, found.id).incident.affected


def test_what_was_done_is_found_in_the_ledger(yard: Yard) -> None:
    workspace = yard.workspace
    batch = trained(yard)
    key = add_key(workspace, "vendor-a", keygen()[1])
    found = opened(workspace)
    other = add_key(workspace, "vendor-b", keygen()[1])
    revoke_key(workspace, "vendor-b", other.key_id, reason="another story")
    revoke_key(workspace, "vendor-a", key.key_id, reason="stolen")
    recall(workspace, "blobs", batch=batch, reason="poisoned")
    yard.admit("friday", blobs(60, seed=9, prefix="f"), "vendor-b")
    train(yard, "2")
    shown = incidents.show_incident(workspace, found.id)
    assert [(one.kind, one.note) for one in shown.actions] == [
        ("key_revoked", None),
        ("records_recalled", None),
        ("model_registered", None),
    ]
    assert f"key {key.key_id[:16]} of vendor-a revoked: stolen" == shown.actions[0].what
    incidents.link_action(workspace, found.id, 1, "who registered it")
    incidents.link_action(workspace, found.id, shown.actions[1].seq, "all of it")
    linked = incidents.show_incident(workspace, found.id).actions
    assert [one.note for one in linked] == ["who registered it", None, "all of it", None]
    with pytest.raises(UsageError, match="linked with"):
        incidents.link_action(workspace, found.id, 1)
    with pytest.raises(LedgerError, match="no entry"):
        incidents.link_action(workspace, found.id, 10_000)


def test_what_to_do_first_goes_by_what_was_done(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    workspace = yard.workspace
    trained(yard)
    case = yard.judge("tuesday", blobs(90, seed=6, prefix="t", flips=9)).case
    found = opened(workspace)
    recalls = f"lazaretto dataset recall blobs --source vendor-a --reason {found.id}"
    first = incidents.show_incident(workspace, found.id)
    assert commands(first) == [
        f"lazaretto incident freeze {found.id} --source vendor-a --why TEXT",
        f"lazaretto incident freeze {found.id} --model net --why TEXT",
        recalls,
        f"lazaretto quarantine show {case}",
        "lazaretto trace source vendor-a",
        f"lazaretto incident refresh {found.id}",
        f"lazaretto incident close {found.id} --why TEXT",
    ]
    (in_blobs,), (held,) = first.evidence.datasets, first.evidence.held
    assert (in_blobs.admitted, in_blobs.left, first.evidence.records) == (60, 60, 150)
    assert (held.case, held.records > 0) == (case, True)
    incidents.place_hold(workspace, found.id, *SOURCE, reason="stop")
    incidents.place_hold(workspace, found.id, HoldKind.PROMOTION, "net", reason="stop")
    recall(workspace, "blobs", source="vendor-a", reason=found.id)
    later = incidents.show_incident(workspace, found.id)
    assert not any(command.startswith(recalls[:24]) for command in commands(later))
    assert not any(" freeze " in command for command in commands(later))
    assert f"lazaretto incident lift {found.id} --source vendor-a --why TEXT" in commands(later)
    assert later.evidence.datasets[0].left == 0
    assert "lazaretto trace source vendor-a" in commands(later)
    yard.admit("friday", blobs(60, seed=9, prefix="f"), "vendor-b")
    train(yard, "2")
    review.decide(workspace, str(case), Action.REJECT, all=True, reason="poison")
    last = incidents.show_incident(workspace, found.id)
    assert "lazaretto trace source vendor-a" not in commands(last)
    assert last.evidence.held == []


def test_names_from_outside_are_quoted_in_commands(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    trained(yard)
    train(yard, "1", "net; rm -rf ~")
    shown = incidents.show_incident(yard.workspace, opened(yard.workspace).id)
    assert any("--model 'net; rm -rf ~' --why" in command for command in commands(shown))


def test_questions_about_a_batch_a_record_and_a_model(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    batch = trained(yard)
    workspace = yard.workspace
    for question in (
        Question("batch", batch),
        Question("record", f"{batch}#m7"),
        Question("model", "net@1"),
    ):
        found = opened(workspace, question)
        assert (found.answer.models, found.answer.batches) == (["net@1"], [batch])
        assert bool(found.answer.report) == (question.kind != "model")
        assert incidents.show_incident(workspace, found.id).steps


def test_a_window_is_part_of_the_question(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    batch = trained(yard)
    early = parse_time("2020-01-01T00:00:00Z"), parse_time("2020-02-01T00:00:00Z")
    nothing = opened(yard.workspace, replace(VENDOR, since=early[0], until=early[1]))
    assert (nothing.answer.batches, nothing.affected) == ([], False)
    since = opened(yard.workspace, replace(VENDOR, since=early[0]))
    assert since.answer.batches == [batch]
    assert incidents.find_open(yard.workspace, since.question) == since
    assert incidents.find_open(yard.workspace, VENDOR) is None
    incidents.close(yard.workspace, since.id, "done")
    assert incidents.find_open(yard.workspace, since.question) is None


def test_lists_are_newest_first_and_come_in_pages(yard: Yard) -> None:
    workspace = yard.workspace
    ids = [opened(workspace).id for _ in range(3)]
    incidents.close(workspace, ids[1], "done")

    def listed(**which: object) -> list[str]:
        return [one.id for one in incidents.list_incidents(workspace, **which)]  # type: ignore[arg-type]

    assert listed() == ids[::-1]
    assert listed(state="OPEN") == [ids[2], ids[0]]
    assert listed(limit=1, after=ids[2]) == [ids[1]]


def test_what_is_wrong_is_refused_and_leaves_nothing(sqlite_yard: Yard) -> None:
    workspace = sqlite_yard.workspace
    found = opened(workspace)
    wrong = [
        (Question("source", "nobody"), NotFoundError),
        (Question("batch", "vendor-a/0"), NotFoundError),
        (Question("model", "net"), UsageError),
        (Question("weather", "rain"), UsageError),
        (Question("batch", "vendor-a/0", parse_time("2026-01-01T00:00:00Z")), UsageError),
    ]
    for question, error in wrong:
        with pytest.raises(error):
            opened(workspace, question)
    for what, name in (
        (HoldKind.SOURCE, "nobody"),
        (HoldKind.PUBLISHING, "nothing"),
        (HoldKind.PUBLISHING, "../blobs"),
        (HoldKind.PROMOTION, "net"),
    ):
        with pytest.raises(UsageError):
            incidents.place_hold(workspace, found.id, what, name, reason="stop")
        with pytest.raises(UsageError):
            incidents.open_incident(workspace, VENDOR, reason="x", holds=[SOURCE, (what, name)])
    with pytest.raises(UsageError, match="reason"):
        incidents.open_incident(workspace, VENDOR, reason=" ")
    with pytest.raises(UsageError, match="note"):
        incidents.note(workspace, found.id, "x" * 5_000)
    with pytest.raises(NotFoundError, match="no incident"):
        incidents.show_incident(workspace, "incident-0")
    assert [one.id for one in incidents.list_incidents(workspace)] == [found.id]
    incidents.place_hold(workspace, found.id, *SOURCE, reason="stop")
    with pytest.raises(UsageError, match=f"incident lift {found.id} --source vendor-a"):
        incidents.close(workspace, found.id, "done")
    incidents.lift_hold(workspace, found.id, *SOURCE, reason="go")
    incidents.close(workspace, found.id, "done")
    with pytest.raises(UsageError, match="closed"):
        incidents.place_hold(workspace, found.id, *SOURCE, reason="stop")
    with pytest.raises(UsageError, match="closed"):
        incidents.close(workspace, found.id, "done again")


def test_a_row_that_was_changed_by_hand_is_not_believed(yard: Yard) -> None:
    found = opened(yard.workspace)
    incidents.place_hold(yard.workspace, found.id, *SOURCE, reason="stop")
    changed = {tables.incident_hold: {"in_force": False}, tables.incident: {"state": "CLOSED"}}
    for table, values in changed.items():
        with yard.workspace.catalog.transaction() as connection:
            connection.execute(table.update().values(values))
        with pytest.raises(ChangedStateError):
            incidents.show_incident(yard.workspace, found.id)


@pytest.mark.skipif(not hasattr(events, "ModelAliased"), reason="models have no aliases yet")
def test_what_is_in_production_and_since_when(yard: Yard) -> None:
    trained(yard)
    found = opened(yard.workspace)
    [placed] = found.answer.placed
    assert (placed.model, placed.unknown) == ("net@1", False)
    with yard.workspace.catalog.transaction() as connection:
        entries = [
            append(
                connection,
                events.ModelAliased(model, alias, version, registry, reason="tried"),
                actor=ANN,
            )
            for model, alias, version, registry in (
                ("net", "production", "1", placed.registry),
                ("net", "staging", "1", placed.registry),
                ("net", "staging", None, placed.registry),
                ("net", "next", "2", placed.registry),
                ("other", "production", "1", placed.registry),
                ("net", "production", "1", "mlflow://another"),
            )
        ]
        told = in_production(connection, found.answer)
    assert [(one.alias, one.version, one.affected) for one in told] == [
        ("production", "1", True),
        ("next", "2", False),
    ]
    assert told[0].since == entries[0].at
    with yard.workspace.catalog.read() as connection:  # of before registries were kept
        assert len(in_production(connection, replace(found.answer, placed=[]))) == 3
    shown = incidents.show_incident(yard.workspace, found.id)
    assert shown.production == told
    assert "net@1 is affected, and is 'production'" in " ".join(s.what for s in shown.steps)
    assert [one.what for one in shown.actions][2] == "staging of net stands for no version"


def test_two_registries_may_have_one_name(yard: Yard) -> None:
    trained(yard)
    found = opened(yard.workspace)
    [mine] = found.answer.placed
    other = PlacedModel("mlflow://another", "net@1", unknown=True)
    both = replace(found.answer, unknown=["net@1"], placed=[mine, other])
    with yard.workspace.catalog.transaction() as connection:
        for registry in (mine.registry, "mlflow://another/"):
            event = events.ModelAliased("net", "production", "1", registry, reason="tried")
            append(connection, event, actor=ANN)
        told = in_production(connection, both)
    assert [(one.affected, one.unknown) for one in told] == [(True, False), (False, True)]
    assert named(told[1], told) == "net in mlflow://another/"
    assert named(told[1], told[1:]) == "net"
    twice = replace(found.answer, models=["net@1", "net@1"])
    assert difference(found.answer, twice).sentences() == ["1 more affected model version"]


def test_an_incident_can_ask_what_if_some_batches_had_not_been_delivered(yard: Yard) -> None:
    monday = trained(yard)
    tuesday = yard.admit("tuesday", blobs(60, seed=6, prefix="t")).batch
    train(yard, "2")
    asked = replace(VENDOR, without=[monday, monday])
    found = opened(yard.workspace, asked)
    assert found.question.without == [monday]
    assert found.title.endswith("without 1 batch")
    assert (found.answer.batches, found.answer.models) == ([tuesday], ["net@2"])
    assert incidents.get_incident(yard.workspace, found.id) == found
    assert incidents.find_open(yard.workspace, replace(VENDOR, without=[monday])) == found
    assert incidents.find_open(yard.workspace, VENDOR) is None
    assert not incidents.refresh(yard.workspace, found.id).changed.anything
    told = commands(incidents.show_incident(yard.workspace, found.id))
    recalls = [command for command in told if " recall " in command]
    words = f"lazaretto dataset recall blobs --incident {found.id} --reason {found.id}"
    assert recalls == [words]
    taken = incidents.take_back(yard.workspace, found.id, "blobs")
    assert [(one.batch, one.rows) for one in taken.members] == [(tuesday, 60)]
    assert any(command.endswith(f"--without {monday}") for command in told)
    with pytest.raises(NotFoundError):
        opened(yard.workspace, replace(VENDOR, without=["vendor-a/none"]))
    with pytest.raises(UsageError, match="leave out --without"):
        opened(yard.workspace, Question("model", "net@1", without=[monday]))
