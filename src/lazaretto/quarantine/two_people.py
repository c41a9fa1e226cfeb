"""The two-person rule: who released and who publishes are two that something authenticated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.errors import AdmissionRefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lazaretto.quarantine.decisions import Decision
    from lazaretto.values import Actor

_WHERE = (
    "review.require_two_people counts only people that Airflow's auth manager authenticated, as on "
    "the review page. The command line and tasks authenticate nobody, so there it cannot be met"
)


def require_two_people(
    case: str, dataset: str, publisher: Actor, decisions: Sequence[Decision]
) -> None:
    """Every released record needs two: one who decided, and another one who publishes.

    Args:
        case: that is published.
        dataset: that the records would enter.
        publisher: who publishes.
        decisions: in force on the records to publish, by the ledger.

    Raises:
        AdmissionRefusedError: ``two_people``: one is not authenticated, or both are the same.
    """
    if not publisher.authenticated:
        why = f"{publisher.id} cannot publish it: {_WHERE}"
    elif nobody := sorted({d.actor.id for d in decisions if not d.actor.authenticated}):
        why = f"{', '.join(nobody)} decided, which does not count: {_WHERE}"
    elif any(decision.actor == publisher for decision in decisions):
        why = f"{publisher.id} decided, so somebody else publishes"
    else:
        return
    raise AdmissionRefusedError(
        f"{case} asks for two people: {why}", code="two_people", dataset=dataset
    )
