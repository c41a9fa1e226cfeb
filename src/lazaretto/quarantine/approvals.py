"""Approvals on record: who agreed to a publication before it was made, and whether that stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003  pydantic reads it at run time
from typing import TYPE_CHECKING

from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import PublicationApproved
from lazaretto.values import Actor  # noqa: TC001  pydantic reads it at run time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry


@dataclass(frozen=True, slots=True)
class Approval:
    """Somebody's agreement to one publication, by the ledger.

    Attributes:
        case: its case.
        publication: id of the publication: of its records and of the decisions in force on them.
        records: how many records that would admit.
        decided: ledger entry of the newest decision that the approver has seen. Once a newer one is
            on record, the approval is void, unless its publication had begun before.
        by: who approved.
        at: when, UTC.
        seq: ledger entry.
    """

    case: str
    publication: str
    records: int
    decided: int
    by: Actor
    at: datetime
    seq: int


def approvals_of(connection: Connection, case: str, *, after: int = 0) -> list[Approval]:
    """Approvals of a case, oldest first, void ones included.

    Args:
        connection: of the catalog.
        case: its id.
        after: only behind this ledger entry. Behind the newest decision on the case, all stand.
    """
    return approvals_of_each(connection, {case: after})[case]


def approvals_of_each(
    connection: Connection, cases: Mapping[str, int]
) -> dict[str, list[Approval]]:
    """The same for some cases, read at once.

    Args:
        connection: of the catalog.
        cases: by their id, the ledger entry behind which theirs are meant.
    """
    found: dict[str, list[Approval]] = {case: [] for case in cases}
    subjects = [f"case:{case}" for case in cases]
    for entry in entries(connection, subjects=subjects, kinds=[PublicationApproved.kind]):
        event = entry.event
        if isinstance(event, PublicationApproved) and entry.seq > cases[event.case]:
            found[event.case].append(approval_of(entry, event))
    return found


def approval_of(entry: Entry, event: PublicationApproved) -> Approval:
    """An approval as its ledger entry tells it."""
    return Approval(
        case=event.case,
        publication=event.publication,
        records=event.records,
        decided=event.decided,
        by=entry.actor,
        at=entry.at,
        seq=entry.seq,
    )
