"""Two people at the same moment: what is chosen by others' decisions never overrules newer ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from yard import ANN, Yard, blobs

from lazaretto.errors import OvertakenError, UsageError
from lazaretto.quarantine import decisions, review
from lazaretto.values import Action, Actor, ActorType

if TYPE_CHECKING:
    from collections.abc import Callable

BOB = Actor(ActorType.HUMAN, "user:bob")
LATE = datetime.now(UTC) + timedelta(days=91)


@pytest.fixture
def case(yard: Yard) -> str:
    """A case of six mislabelled records."""
    return str(yard.judge("mixed", blobs(90, seed=5, flips=6)).case)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Does something between the moment when records are chosen and the one when that is kept."""

    def arrange(act: Callable[[], Any]) -> None:
        real, todo = decisions.write_table, [act]

        def write(*args: Any, **kwargs: Any) -> Any:
            if todo:
                todo.pop()()
            return real(*args, **kwargs)

        monkeypatch.setattr(decisions, "write_table", write)

    return arrange


def _in_force(yard: Yard, case: str) -> dict[str, str | None]:
    return {r.record_id: r.action for r in review.held_records(yard.workspace, case)}


def test_expiry_leaves_what_somebody_releases_at_that_moment(
    yard: Yard, case: str, meanwhile: Callable[[Callable[[], Any]], None]
) -> None:
    ann = yard.workspace.acting(ANN)
    meanwhile(lambda: review.decide(ann, case, Action.RELEASE, ids=["r0"], reason="fine"))
    (expired,) = review.expire(yard.workspace, yard.policy, LATE)
    assert expired.records == 5
    assert _in_force(yard, case) == {"r0": "RELEASE"} | {f"r{n}": "REJECT" for n in range(1, 6)}


def test_expiry_of_a_case_that_is_settled_at_that_moment_does_nothing(
    yard: Yard, case: str, meanwhile: Callable[[Callable[[], Any]], None]
) -> None:
    ann = yard.workspace.acting(ANN)
    meanwhile(lambda: review.decide(ann, case, Action.RELEASE, all=True, reason="fine"))
    assert review.expire(yard.workspace, yard.policy, LATE) == []
    assert set(_in_force(yard, case).values()) == {"RELEASE"}


@pytest.mark.parametrize("chosen", ["UNDECIDED", "REJECT"])
def test_who_chooses_by_decisions_is_told_of_newer_ones(
    yard: Yard, case: str, meanwhile: Callable[[Callable[[], Any]], None], chosen: str
) -> None:
    ann, bob = yard.workspace.acting(ANN), yard.workspace.acting(BOB)
    review.decide(ann, case, Action.REJECT, ids=["r1", "r2"], reason="no")
    meanwhile(lambda: review.decide(ann, case, Action.RELABEL, ids=["r0", "r1"], label="2",
                                    reason="a two"))  # fmt: skip
    with pytest.raises(OvertakenError, match="somebody else decided"):
        review.decide(bob, case, Action.RELEASE, filter={"action": chosen}, reason="fine")
    assert [made.actor for made in review.list_decisions(yard.workspace, case)] == [ANN, ANN]


def test_a_decision_is_taken_back_once(
    yard: Yard, case: str, meanwhile: Callable[[Callable[[], Any]], None]
) -> None:
    ann, bob = yard.workspace.acting(ANN), yard.workspace.acting(BOB)
    made = review.decide(ann, case, Action.REJECT, all=True, reason="no")
    meanwhile(lambda: review.undo(ann, made.id, reason="hm"))
    with pytest.raises(UsageError, match="undone already: somebody else was faster"):
        review.undo(bob, made.id, reason="hm")
    assert len(review.list_decisions(yard.workspace, case)) == 2
