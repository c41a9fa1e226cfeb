"""Review: decisions, their undoing, publication, expiry and recall."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from yard import Yard, blobs, make_policy

from lazaretto import stages
from lazaretto.dataset.recall import recall
from lazaretto.errors import AdmissionRefusedError, NotFoundError, UsageError
from lazaretto.ledger import chain as ledger
from lazaretto.ledger.events import BatchAdmitted, RecordsDecided, RecordsRecalled
from lazaretto.ledger.verify import verify
from lazaretto.quarantine import review
from lazaretto.quarantine.outcome import Published, find_published, review_outcome
from lazaretto.storage import tables
from lazaretto.values import Action, Actor, ActorType

if TYPE_CHECKING:
    from lazaretto.ledger.events import Event
    from lazaretto.quarantine.review import Case

pytestmark = pytest.mark.alike

BOB = Actor(ActorType.HUMAN, "user:bob")


def _events(yard: Yard, kind: str) -> list[Event]:
    with yard.workspace.catalog.read() as connection:
        return [entry.event for entry in ledger.entries(connection, kinds=[kind])]


def _case(yard: Yard, name: str = "mixed", seed: int = 5) -> Case:
    judged = yard.judge(name, blobs(90, seed=seed, prefix=f"{name}-", flips=6))
    return review.show_case(yard.workspace, str(judged.case))


def _held(yard: Yard, case: str) -> dict[str, str | None]:
    records = review.held_records(yard.workspace, case, limit=1000)
    return {record.record_id: record.action for record in records}


def test_a_case_shows_counts_and_pages_its_records(yard: Yard) -> None:
    case = _case(yard)
    assert case.state == "OPEN"
    assert case.source == "vendor-a"
    assert case.actions == {"UNDECIDED": case.held}
    first = review.held_records(yard.workspace, case.id, limit=2)
    rest = review.held_records(yard.workspace, case.id, after=first[-1].position, limit=100)
    assert [r.position for r in first + rest] == sorted(r.position for r in first + rest)
    assert len(first) + len(rest) == case.held
    with pytest.raises(NotFoundError, match="no case 'nothing'"):
        review.show_case(yard.workspace, "nothing")


def test_cases_are_listed_newest_first_by_page_source_and_batch(yard: Yard) -> None:
    one, two = _case(yard, "one"), _case(yard, "two", seed=6)
    assert [c.id for c in review.list_cases(yard.workspace)] == [two.id, one.id]
    assert [c.id for c in review.list_cases(yard.workspace, after=two.id)] == [one.id]
    with pytest.raises(NotFoundError, match="no case"):
        review.list_cases(yard.workspace, after="nothing")
    assert [c.id for c in review.list_cases(yard.workspace, batch=one.batch)] == [one.id]
    assert review.list_cases(yard.workspace, source="vendor-b") == []
    assert review.list_cases(yard.workspace, state="CLOSED") == []


def test_a_later_decision_replaces_an_earlier_one_and_undo_brings_it_back(yard: Yard) -> None:
    case = _case(yard)
    name = "mixed-0"
    first = review.decide(yard.workspace, case.id, Action.REJECT, all=True, reason="trigger")
    second = review.decide(
        yard.workspace.acting(BOB), case.id, Action.RELEASE, ids=[name], reason="is fine"
    )
    assert _held(yard, case.id)[name] == "RELEASE"
    third = review.undo(yard.workspace, second.id, reason="is not")
    assert third.undoes == second.id
    assert set(_held(yard, case.id).values()) == {"REJECT"}
    review.undo(yard.workspace, first.id, reason="wait")
    assert set(_held(yard, case.id).values()) == {None}
    with pytest.raises(UsageError, match="undone"):
        review.undo(yard.workspace, second.id, reason="again")
    with pytest.raises(UsageError, match="undo itself"):
        review.undo(yard.workspace, third.id, reason="again")
    decisions = review.list_decisions(yard.workspace, case.id)
    assert [d.undone_by is not None for d in decisions] == [True, True, False, False]
    events = _events(yard, "records_decided")
    assert [e.undoes for e in events if isinstance(e, RecordsDecided)][2:] == [second.id, first.id]


def test_undoing_an_older_decision_leaves_newer_ones_in_force(yard: Yard) -> None:
    case = _case(yard)
    old = review.decide(yard.workspace, case.id, Action.REJECT, all=True, reason="trigger")
    review.decide(yard.workspace, case.id, Action.RELEASE, ids=["mixed-0"], reason="fine")
    review.undo(yard.workspace, old.id, reason="too fast")
    held = _held(yard, case.id)
    assert held.pop("mixed-0") == "RELEASE"
    assert set(held.values()) == {None}


@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        ({"label": "1"}, {"mixed-0", "mixed-3"}),
        ({"label": "1", "action": "UNDECIDED"}, {"mixed-0", "mixed-3"}),
        ({"max_score": "-1"}, set()),
        ({"reason": "contract:nothing"}, set()),
        ({"action": "REJECT"}, set()),
    ],
)
def test_a_filter_takes_what_its_preview_counts(
    sqlite_yard: Yard, filter_: dict[str, str], expected: set[str]
) -> None:
    case = _case(sqlite_yard)
    found = review.held_records(sqlite_yard.workspace, case.id, filter_)
    assert {r.record_id for r in found if int(r.record_id[6:]) < 6} == expected
    assert review.count_records(sqlite_yard.workspace, case.id, filter_) == len(found)
    if found:
        decision = review.decide(
            sqlite_yard.workspace, case.id, Action.REJECT, filter=filter_, reason="x"
        )
        assert decision.records == len(found)


def test_arguments_that_do_not_go_together_are_refused(sqlite_yard: Yard) -> None:
    case = _case(sqlite_yard).id
    wrong: list[tuple[dict[str, object], str]] = [
        ({}, "say on which records"),
        ({"all": True, "ids": ["mixed-0"]}, "say on which records"),
        ({"all": True, "reason": " "}, "needs a reason"),
        ({"all": True, "label": "2"}, "a label belongs to RELABEL"),
        ({"all": True, "action": Action.RELABEL}, "RELABEL needs one"),
        ({"all": True, "action": Action.REWEIGHT, "weight": -1.0}, "positive number"),
        ({"all": True, "action": Action.REWEIGHT, "weight": float("nan")}, "positive number"),
        ({"all": True, "action": Action.RELABEL, "label": "cat"}, "not a value of type int64"),
        ({"filter": {"colour": "red"}}, "no filter 'colour'"),
        ({"filter": {"min_score": "high"}}, "cannot be 'high'"),
        ({"filter": {"max_score": "-1"}}, "no held record"),
    ]
    for arguments, message in wrong:
        call = {"action": Action.REJECT, "reason": "because"} | arguments
        with pytest.raises(UsageError, match=message):
            review.decide(sqlite_yard.workspace, case, **call)  # type: ignore[arg-type]
    with pytest.raises(NotFoundError, match=r"1 of 2 records are not held .* \['mixed-80'\]"):
        review.decide(
            sqlite_yard.workspace,
            case,
            Action.REJECT,
            ids=["mixed-0", "mixed-80"],
            reason="x",
        )
    assert _events(sqlite_yard, "records_decided") == []


def test_publishing_admits_what_was_released_relabelled_and_weighted(yard: Yard) -> None:
    case = _case(yard)
    stages.admit(yard.workspace, case.batch)
    workspace = yard.workspace
    review.decide(workspace, case.id, Action.REJECT, all=True, reason="no")
    review.decide(workspace, case.id, Action.RELABEL, ids=["mixed-0"], label="0", reason="is a 0")
    review.decide(workspace, case.id, Action.REWEIGHT, ids=["mixed-1"], weight=0.5, reason="hm")
    review.decide(workspace, case.id, Action.RELEASE, ids=["mixed-2"], reason="yes")
    admission = review.publish(workspace, case.id)
    assert admission is not None
    assert admission.rows == 3
    found = {
        row["id"]: (row["label"], row["sample_weight"], row["_lazaretto_batch"])
        for row in yard.dataset().to_pylist()
    }
    assert found["mixed-0"] == (0, 1.0, case.batch)
    assert found["mixed-1"] == (2, 0.5, case.batch)
    assert found["mixed-2"] == (0, 1.0, case.batch)
    assert not {"mixed-3", "mixed-4", "mixed-5"} & set(found)
    assert review.show_case(workspace, case.id).state == "CLOSED"
    events = [e for e in _events(yard, "batch_admitted") if isinstance(e, BatchAdmitted)]
    assert [event.part for event in events] == ["cleared", admission.part]


def test_publishing_twice_writes_once_and_later_decisions_are_another_commit(yard: Yard) -> None:
    case = _case(yard)
    workspace = yard.workspace
    released = review.decide(workspace, case.id, Action.RELEASE, ids=["mixed-0"], reason="fine")
    first = review.publish(workspace, case.id)
    assert review.publish(workspace, case.id) == first
    assert yard.ids() == ["mixed-0"]
    assert review.show_case(workspace, case.id).state == "OPEN"
    with pytest.raises(UsageError, match="published already"):
        review.undo(workspace, released.id, reason="oh")
    with pytest.raises(UsageError, match="published already"):
        review.decide(workspace, case.id, Action.REJECT, all=True, reason="oh")
    review.decide(workspace, case.id, Action.RELEASE, ids=["mixed-1"], reason="fine")
    second = review.publish(workspace, case.id)
    assert first is not None
    assert second is not None
    assert second.part != first.part
    assert yard.ids() == ["mixed-0", "mixed-1"]


def test_with_nothing_released_publishing_closes_the_case_and_writes_nothing(yard: Yard) -> None:
    case = _case(yard)
    assert review.publish(yard.workspace, case.id) is None
    assert review.show_case(yard.workspace, case.id).state == "OPEN"
    review.decide(yard.workspace, case.id, Action.REJECT, all=True, reason="no")
    assert review.publish(yard.workspace, case.id) is None
    assert review.show_case(yard.workspace, case.id).state == "CLOSED"
    assert _events(yard, "batch_admitted") == []


def test_two_people_where_the_policy_asks_for_them(sqlite_yard: Yard) -> None:
    policy = make_policy(review={"require_two_people": True})
    strict = Yard(sqlite_yard.workspace, policy, sqlite_yard.folder)
    case = _case(strict)
    workspace = strict.workspace
    review.decide(workspace, case.id, Action.RELEASE, ids=["mixed-0"], reason="ok")
    review.decide(workspace.acting(BOB), case.id, Action.REJECT, ids=["mixed-1"], reason="no")
    with pytest.raises(AdmissionRefusedError, match="somebody else publishes"):
        review.publish(workspace, case.id)
    assert review.publish(workspace.acting(BOB), case.id) is not None


def test_expiry_rejects_what_nobody_decided_and_never_releases(yard: Yard) -> None:
    case = _case(yard)
    workspace = yard.workspace
    review.decide(workspace, case.id, Action.RELEASE, ids=["mixed-0"], reason="ok")
    assert review.expire(workspace, yard.policy) == []
    late = datetime.now(UTC) + timedelta(days=yard.policy.review.expire_days + 1)
    (decision,) = review.expire(workspace, yard.policy, late)
    assert decision.action is Action.REJECT
    assert decision.actor == Actor(ActorType.POLICY, "policy:blobs")
    held = _held(yard, case.id)
    assert held.pop("mixed-0") == "RELEASE"
    assert set(held.values()) == {"REJECT"}
    assert review.expire(workspace, yard.policy, late) == []


def test_the_outcome_waits_until_everything_is_published_and_a_case_opens_again(yard: Yard) -> None:
    case = _case(yard)
    assert review_outcome(yard.workspace, case.batch) is None
    first = review.decide(yard.workspace, case.id, Action.RELEASE, ids=["mixed-0"], reason="ok")
    published = review.publish(yard.workspace, case.id)
    assert published is not None
    waiting = {"action": "UNDECIDED"}
    rest = review.decide(yard.workspace, case.id, Action.REJECT, filter=waiting, reason="no")
    # Everything is decided, and what is released is published: the rejection can be undone still.
    assert review_outcome(yard.workspace, case.batch) is None
    undone = review.undo(yard.workspace, rest.id, reason="too early")
    again = review.decide(yard.workspace, case.id, Action.REJECT, filter=waiting, reason="no")
    review.publish(yard.workspace, case.id)
    outcome = review_outcome(yard.workspace, case.batch)
    assert outcome is not None
    assert outcome.actions == {"REJECT": case.held - 1, "RELEASE": 1}
    assert outcome.seqs == [one.seq for one in (first, rest, undone, again)]
    # A change of mind behind the end: the case is open, whatever its row says.
    late = review.decide(yard.workspace, case.id, Action.RELEASE, ids=["mixed-1"], reason="fine")
    with yard.workspace.catalog.transaction() as connection:
        connection.execute(tables.case.update().values(state="CLOSED"))
    assert review_outcome(yard.workspace, case.batch) is None
    assert late.seq > again.seq


def test_publishing_nothing_ends_a_review_of_which_nothing_is_released(yard: Yard) -> None:
    case = _case(yard)
    review.decide(yard.workspace, case.id, Action.REJECT, all=True, reason="no")
    assert review_outcome(yard.workspace, case.batch) is None
    assert review.publish(yard.workspace, case.id) is None
    outcome = review_outcome(yard.workspace, case.batch)
    assert outcome is not None
    assert outcome.actions == {"REJECT": case.held}


def test_what_was_published_is_found_without_publishing_anything(yard: Yard) -> None:
    case = _case(yard)
    assert find_published(yard.workspace, case.batch, "blobs") == Published(None, 0)
    review.decide(yard.workspace, case.id, Action.RELEASE, ids=["mixed-0"], reason="ok")
    review.decide(
        yard.workspace, case.id, Action.REWEIGHT, ids=["mixed-1"], reason="unsure", weight=0.5
    )
    assert find_published(yard.workspace, case.batch, "blobs") == Published(None, 2)
    first = review.publish(yard.workspace, case.id)
    review.decide(yard.workspace, case.id, Action.RELEASE, ids=["mixed-2"], reason="ok")
    found = find_published(yard.workspace, case.batch, "blobs")
    assert found == Published(first, 1)
    second = review.publish(yard.workspace, case.id)
    assert first is not None
    assert second is not None
    whole = find_published(yard.workspace, case.batch, "blobs")
    assert whole.waiting == 0
    assert whole.admission is not None
    assert (whole.admission.rows, whole.admission.version) == (3, second.version)
    assert whole.admission.seqs == [*first.seqs, *second.seqs]
    assert find_published(yard.workspace, case.batch, "another") == Published(None, 0)
    taken = recall(yard.workspace, "blobs", batch=case.batch, reason="compromised")
    left = find_published(yard.workspace, case.batch, "blobs").admission
    assert left is not None
    assert (left.rows, left.recalled) == (0, taken.id)


def test_a_decision_on_a_hundred_thousand_records_is_one_entry_and_seconds(yard: Yard) -> None:
    """With a statement per record this takes minutes, so the limit can be generous."""
    count = 100_000
    policy = make_policy(columns={"record_id": "id", "label": "missing", "embedding": "vector"})
    big = Yard(yard.workspace, policy, yard.folder)
    batch = big.receive("big", blobs(count, seed=5)).id
    stages.validate(big.workspace, batch, policy)
    judged = stages.gate(big.workspace, batch, policy)
    assert judged.held == count
    started = time.monotonic()
    decision = review.decide(
        big.workspace, str(judged.case), Action.REJECT, all=True, reason="broken"
    )
    review.undo(big.workspace, decision.id, reason="try again")
    assert time.monotonic() - started < 60
    assert decision.records == count
    assert len(_events(yard, "records_decided")) == 2
    assert review.show_case(big.workspace, str(judged.case)).actions == {"UNDECIDED": count}
    assert verify(big.workspace).ok


def test_recall_removes_records_and_marks_the_models_that_saw_them(yard: Yard) -> None:
    workspace = yard.workspace
    one = yard.admit("monday", blobs(60, seed=5, prefix="m"))
    early = stages.snapshot(workspace, "blobs")
    stages.register_model(workspace, "net", "1", "blobs", early.version)
    two = yard.admit("tuesday", blobs(30, seed=6, prefix="t"), source="vendor-b")
    late = stages.snapshot(workspace, "blobs")
    stages.register_model(workspace, "net", "2", "blobs", late.version)
    recalled = recall(workspace, "blobs", batch=two.batch, reason="vendor-b was hacked")
    assert recalled.models == ["net@2"]
    assert recalled.records == 30
    assert len(yard.ids()) == 60
    assert len(yard.ids(late.version)) == 90
    again = recall(workspace, "blobs", batch=two.batch, reason="vendor-b was hacked")
    assert again == recalled
    (event,) = _events(yard, "records_recalled")
    assert isinstance(event, RecordsRecalled)
    assert event.models == ["net@2"]
    third = recall(workspace, "blobs", ids=[f"{one.batch}#m0"], reason="trigger")
    assert third.models == ["net@1", "net@2"]
    assert third.records == 1
    # Trained before the recalls, registered after them: it saw the records all the same.
    slow = stages.register_model(workspace, "slow", "1", "blobs", late.version)
    assert slow.recalls == sorted([recalled.id, third.id])
    clean = stages.snapshot(workspace, "blobs")
    assert stages.register_model(workspace, "net", "3", "blobs", clean.version).recalls == []


def test_one_recall_after_another_reads_what_the_last_one_rewrote(sqlite_yard: Yard) -> None:
    one = sqlite_yard.admit("monday", blobs(30, seed=5, prefix="m")).batch
    two = sqlite_yard.admit("tuesday", blobs(30, seed=6, prefix="t"), source="vendor-b").batch
    for number in range(3):
        ids = [f"{one}#m{number}", f"{two}#t{number}"]
        found = recall(sqlite_yard.workspace, "blobs", ids=ids, reason="trigger")
        assert found.records == 2
    assert len(sqlite_yard.ids()) == 54


def test_a_window_takes_the_batches_of_one_source_that_it_meets(yard: Yard) -> None:
    yard.admit("monday", blobs(30, seed=5, prefix="m"))
    yard.admit("tuesday", blobs(30, seed=6, prefix="t"), source="vendor-b")
    now, day = datetime.now(UTC), timedelta(days=1)
    for since, until in ((None, now - day), (now + day, None)):
        with pytest.raises(NotFoundError, match="none of these records"):
            recall(
                yard.workspace,
                "blobs",
                source="vendor-b",
                since=since,
                until=until,
                reason="x",
            )
    recall(yard.workspace, "blobs", source="vendor-b", since=now - day, reason="x")
    assert {name[0] for name in yard.ids()} == {"m"}


def test_what_cannot_be_recalled_is_said(sqlite_yard: Yard) -> None:
    workspace = sqlite_yard.workspace
    batch = sqlite_yard.admit("monday", blobs(30, seed=5)).batch
    with pytest.raises(UsageError, match="not a record id: 'r0'"):
        recall(workspace, "blobs", ids=["r0"], reason="x")
    with pytest.raises(UsageError, match="say which records"):
        recall(workspace, "blobs", reason="x")
    with pytest.raises(UsageError, match="a window belongs to a source"):
        recall(workspace, "blobs", batch=batch, since=datetime.now(UTC), reason="x")
    with pytest.raises(NotFoundError, match="none of these records"):
        recall(workspace, "blobs", ids=[f"{batch}#nothing"], reason="x")
    assert len(sqlite_yard.ids()) == 30
