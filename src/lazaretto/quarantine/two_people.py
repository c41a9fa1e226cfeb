"""The two-person rule: for each released record two people agree that something authenticated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazaretto.errors import AdmissionRefusedError

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.engine import Row

    from lazaretto.authority.policies import Registered
    from lazaretto.quarantine.decisions import Decision
    from lazaretto.values import Actor

WHERE_TWO_COUNT = (
    "review.require_two_people counts only people that Airflow's auth manager authenticated, as on "
    "the review page. The command line and tasks authenticate nobody, so there it cannot be met"
)


def asks_for_two(row: Row[Any], in_force: Registered | None) -> bool:
    """Whether publishing a case takes two people.

    Args:
        row: of the case, which has what its judgement asks for.
        in_force: the policy that is in force for its dataset; None: none is.
    """
    return bool(row.two_people) or (
        in_force is not None and in_force.rules.review.require_two_people
    )


def require_two_people(
    case: str,
    dataset: str,
    publisher: Actor,
    decisions: Collection[Decision],
    approvers: Collection[Actor],
) -> None:
    """Every released record needs two: one who decided, and another who approves or publishes.

    Args:
        case: that is published.
        dataset: that the records would enter.
        publisher: who publishes.
        decisions: in force on the records to publish, by the ledger.
        approvers: who approved this publication, by the ledger.

    Raises:
        AdmissionRefusedError: ``two_people``: one is not authenticated, or both are the same.
    """
    second = {actor for actor in (publisher, *approvers) if actor.authenticated}
    nobody = sorted({one.actor.id for one in decisions if not one.actor.authenticated})
    alone = sorted({one.actor.id for one in decisions if not second - {one.actor}})
    if nobody and second:
        why = f"{', '.join(nobody)} decided, which does not count: {WHERE_TWO_COUNT}"
    elif not second:
        why = f"{publisher.id} cannot publish it: {WHERE_TWO_COUNT}"
    elif alone:
        why = f"{', '.join(alone)} decided, so somebody else publishes, or approves it"
    else:
        return
    raise AdmissionRefusedError(
        f"{case} asks for two people: {why}", code="two_people", dataset=dataset
    )
