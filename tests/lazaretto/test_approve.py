"""A second person approves what would be published until a newer decision; weights have a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yard import ANN, Yard, blobs, make_policy

from lazaretto.authority.policies import register_policy
from lazaretto.errors import (
    AdmissionRefusedError,
    NotFoundError,
    OvertakenError,
    SystemFaultError,
    UsageError,
)
from lazaretto.health import check, rebuild
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import BatchAdmitted, PublicationApproved
from lazaretto.quarantine import review
from lazaretto.quarantine.two_people import require_two_people
from lazaretto.values import Action, Actor, ActorType, Release, StoredFile

if TYPE_CHECKING:
    from lazaretto.ledger.chain import Entry
    from lazaretto.ledger.events import Event

BOB = Actor(ActorType.HUMAN, "user:bob")
EVE = Actor(ActorType.HUMAN, "user:eve")
TASK = Actor(ActorType.SERVICE, "airflow:ingest.admit")
SHELL = Actor(ActorType.OS_USER, "os:bob@gate")


def told(yard: Yard, kind: type[Event]) -> list[Entry]:
    with yard.workspace.catalog.read() as connection:
        return list(entries(connection, kinds=[kind.kind]))


@pytest.fixture
def strict(sqlite_yard: Yard) -> Yard:
    """A yard whose policy asks for two people."""
    policy = make_policy(review={"require_two_people": True})
    return Yard(sqlite_yard.workspace, policy, sqlite_yard.folder)


def held(yard: Yard) -> str:
    """A case of six mislabelled records."""
    return str(yard.judge("mixed", blobs(90, seed=5, flips=6)).case)


def release(yard: Yard, case: str, *ids: str, by: Actor = ANN) -> str:
    who = yard.workspace.acting(by)
    return review.decide(who, case, Action.RELEASE, ids=ids, reason="fine").id


def approve(yard: Yard, case: str, by: Actor = BOB) -> review.Approval:
    seen = review.show_case(yard.workspace, case).decided
    return review.approve(yard.workspace.acting(by), case, seen=seen)


@pytest.mark.parametrize("publisher", [ANN, TASK, SHELL, EVE])
def test_with_an_approval_whoever_decided_may_publish(strict: Yard, publisher: Actor) -> None:
    """And so may a task or a shell: two people agreed whom something authenticated."""
    case = held(strict)
    decision = release(strict, case, "r0", "r1")
    given_ = approve(strict, case)
    assert (given_.by, given_.records) == (BOB, 2)
    assert review.show_case(strict.workspace, case).approved_by == ["user:bob"]
    assert review.list_cases(strict.workspace)[0].approved_by == ["user:bob"]
    assert review.list_approvals(strict.workspace, case) == [given_]
    done = review.publish(strict.workspace.acting(publisher), case)
    assert done is not None
    assert done.part == given_.publication
    (entry,) = told(strict, BatchAdmitted)
    assert isinstance(entry.event, BatchAdmitted)
    assert entry.event.releases == [Release(decision, 2, "user:ann")]
    assert entry.event.approved_by == ["user:bob"]
    assert entry.event.published_by == publisher.id == entry.actor.id
    (published,) = review.list_publications(strict.workspace, case)
    assert (published.by, published.approved_by) == (publisher, ["user:bob"])
    assert published.releases == entry.event.releases
    assert check(strict.workspace, deep=True).sound
    assert not rebuild(strict.workspace, write=False).needed


def test_an_approval_given_twice_is_one(strict: Yard) -> None:
    case = held(strict)
    release(strict, case, "r0")
    first = approve(strict, case)
    assert approve(strict, case) == first
    assert approve(strict, case, by=EVE).seq > first.seq
    assert review.show_case(strict.workspace, case).approved_by == ["user:bob", "user:eve"]


@pytest.mark.parametrize("newer", ["another release", "a rejection", "taken back and forth"])
def test_a_newer_decision_voids_an_approval(strict: Yard, newer: str) -> None:
    case, ann = held(strict), strict.workspace.acting(ANN)
    release(strict, case, "r0")
    approve(strict, case)
    if newer == "another release":
        release(strict, case, "r1")
    else:
        no = review.decide(ann, case, Action.REJECT, ids=["r0"], reason="no")
        if newer == "taken back and forth":
            review.undo(ann, no.id, reason="yes")
        else:
            release(strict, case, "r0")
    assert review.show_case(strict.workspace, case).approved_by == []
    with pytest.raises(AdmissionRefusedError, match="somebody else publishes, or approves"):
        review.publish(ann, case)
    approve(strict, case)
    assert review.publish(ann, case) is not None


def test_what_was_begun_stays_approved(strict: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decisions on records of a publication that was cut off are final: others are no matter."""
    from lazaretto.dataset import admission

    def killed(*_: object, **__: object) -> None:
        raise SystemFaultError("killed")

    case, ann = held(strict), strict.workspace.acting(ANN)
    release(strict, case, "r0")
    approve(strict, case)
    monkeypatch.setattr(admission, "write_rows", killed)
    with pytest.raises(SystemFaultError):
        review.publish(ann, case)
    monkeypatch.undo()
    review.decide(ann, case, Action.REJECT, ids=["r1"], reason="no")
    assert review.publish(ann, case) is not None
    (entry,) = told(strict, BatchAdmitted)
    assert isinstance(entry.event, BatchAdmitted)
    assert (entry.event.approved_by, entry.event.published_by) == (["user:bob"], "user:ann")


def test_an_approval_of_one_publication_is_none_of_the_next(strict: Yard) -> None:
    case, ann = held(strict), strict.workspace.acting(ANN)
    release(strict, case, "r0")
    approve(strict, case)
    review.publish(ann, case)
    release(strict, case, "r1")
    with pytest.raises(AdmissionRefusedError):
        review.publish(ann, case)
    assert strict.ids() == ["r0"]


def test_two_people_who_each_decided_on_a_part_agree_by_one_approval(strict: Yard) -> None:
    case = held(strict)
    release(strict, case, "r0", by=ANN)
    release(strict, case, "r1", by=BOB)
    for one in (ANN, BOB):
        with pytest.raises(AdmissionRefusedError, match=f"{one.id} decided"):
            review.publish(strict.workspace.acting(one), case)
    approve(strict, case, by=BOB)
    assert review.publish(strict.workspace.acting(ANN), case) is not None


def test_who_cannot_approve_is_told(strict: Yard) -> None:
    case = held(strict)
    with pytest.raises(UsageError, match="nothing to approve"):
        approve(strict, case)
    release(strict, case, "r0")
    seen = review.show_case(strict.workspace, case).decided
    for nobody in (SHELL, TASK):
        with pytest.raises(UsageError, match=f"{nobody.id} cannot approve"):
            approve(strict, case, by=nobody)
    with pytest.raises(UsageError, match="user:ann decided on all"):
        approve(strict, case, by=ANN)
    release(strict, case, "r1")
    with pytest.raises(OvertakenError, match="look again, then approve"):
        review.approve(strict.workspace.acting(BOB), case, seen=seen)
    with pytest.raises(NotFoundError):
        review.approve(strict.workspace, "case-0", seen=seen)
    assert told(strict, PublicationApproved) == []
    review.publish(strict.workspace.acting(BOB), case)
    with pytest.raises(UsageError, match="nothing to approve"):
        approve(strict, case, by=EVE)


_PEOPLE = st.sampled_from([ANN, BOB, EVE, SHELL, TASK])


@given(
    deciders=st.lists(_PEOPLE, min_size=1, max_size=3),
    approvers=st.lists(_PEOPLE, max_size=2),
    publisher=_PEOPLE,
)
def test_two_people_stand_behind_every_record(
    deciders: list[Actor], approvers: list[Actor], publisher: Actor
) -> None:
    """By counting: of each record, the authenticated people who decided or agreed are two."""
    agreed = {one.id for one in (*approvers, publisher) if one.type is ActorType.HUMAN}
    behind = [
        {decider.id} | agreed if decider.type is ActorType.HUMAN else set() for decider in deciders
    ]
    decisions = [_decision(one) for one in deciders]
    if min(map(len, behind)) >= 2:
        require_two_people("case-1", "blobs", publisher, decisions, approvers)
        return
    with pytest.raises(AdmissionRefusedError, match="asks for two people"):
        require_two_people("case-1", "blobs", publisher, decisions, approvers)


def _decision(actor: Actor) -> review.Decision:
    return review.Decision(
        id=f"decision-{actor.id}",
        case="case-1",
        action=Action.RELEASE,
        records=1,
        ids=StoredFile("decisions/x.parquet", 1, "ab" * 32),
        ids_digest="cd" * 32,
        actor=actor,
        reason="fine",
        label=None,
        weight=None,
        undoes=None,
        undone_by=None,
        seq=1,
    )


# Weights


def weigh(yard: Yard, case: str, weight: float, record: str = "r0") -> None:
    reason = "half as good"
    review.decide(yard.workspace, case, Action.REWEIGHT, ids=[record], weight=weight, reason=reason)


def allowing(yard: Yard, most: float) -> Yard:
    return Yard(yard.workspace, make_policy(review={"max_weight": most}), yard.folder)


@pytest.mark.parametrize("weight", [1.0, 0.25, 1e-9])
def test_a_weight_of_at_most_one_is_always_allowed(sqlite_yard: Yard, weight: float) -> None:
    case = held(sqlite_yard)
    assert review.weight_limit(sqlite_yard.workspace, case) == 1
    weigh(sqlite_yard, case, weight)
    review.publish(sqlite_yard.workspace, case)
    assert sqlite_yard.dataset()["sample_weight"].to_pylist() == [weight]


@pytest.mark.parametrize("weight", [1.0000001, 2.0, 1e300])
def test_more_than_one_takes_a_policy_that_allows_it(sqlite_yard: Yard, weight: float) -> None:
    case = held(sqlite_yard)
    with pytest.raises(UsageError, match="at most 1, not"):
        weigh(sqlite_yard, case, weight)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_is_a_positive_number(sqlite_yard: Yard, weight: float) -> None:
    case = held(allowing(sqlite_yard, 1e9))
    with pytest.raises(UsageError, match="positive number"):
        weigh(sqlite_yard, case, weight)


@pytest.mark.parametrize(("judged_by", "in_force"), [(4.0, 1.0), (1.0, 4.0), (3.0, 4.0)])
def test_both_policies_must_allow_a_weight(
    sqlite_yard: Yard, judged_by: float, in_force: float
) -> None:
    case = held(allowing(sqlite_yard, judged_by))
    register_policy(sqlite_yard.workspace, allowing(sqlite_yard, in_force).policy, reason="new")
    most = min(judged_by, in_force)
    assert review.weight_limit(sqlite_yard.workspace, case) == most
    weigh(sqlite_yard, case, most)
    with pytest.raises(UsageError, match=f"at most {most:g}, not {most + 0.5:g}"):
        weigh(sqlite_yard, case, most + 0.5)


def test_a_weight_that_is_too_much_by_now_is_not_published(sqlite_yard: Yard) -> None:
    generous = allowing(sqlite_yard, 4.0)
    case = held(generous)
    weigh(generous, case, 3.0)
    register_policy(sqlite_yard.workspace, make_policy(), reason="no more than one")
    with pytest.raises(
        AdmissionRefusedError, match="would weigh 3, and the policies allow 1"
    ) as no:
        review.publish(sqlite_yard.workspace, case)
    assert no.value.code == "weight"
    weigh(generous, case, 0.5)
    review.publish(sqlite_yard.workspace, case)
    assert sqlite_yard.dataset()["sample_weight"].to_pylist() == [0.5]


# The end of a case


def test_publishing_closes_a_case_of_which_nothing_is_released(sqlite_yard: Yard) -> None:
    case, workspace = held(sqlite_yard), sqlite_yard.workspace
    no = review.decide(workspace, case, Action.REJECT, all=True, reason="labels are wrong")
    assert review.show_case(workspace, case).state == "OPEN"
    assert review.publish(workspace, case) is None
    assert review.show_case(workspace, case).state == "CLOSED"
    assert told(sqlite_yard, BatchAdmitted) == []
    # The promise holds behind it: nothing was published, so that all of it can be taken back.
    review.undo(workspace, no.id, reason="look again")
    assert review.show_case(workspace, case).state == "OPEN"
    assert review.show_case(workspace, case).actions == {"UNDECIDED": 6}


def test_nothing_is_published_by_the_last_decision(sqlite_yard: Yard) -> None:
    case, workspace = held(sqlite_yard), sqlite_yard.workspace
    yes = review.decide(workspace, case, Action.RELEASE, all=True, reason="fine")
    assert review.show_case(workspace, case).state == "OPEN"
    assert told(sqlite_yard, BatchAdmitted) == []
    review.undo(workspace, yes.id, reason="not yet")
    assert review.publish(workspace, case) is None
    assert review.show_case(workspace, case).state == "OPEN"
