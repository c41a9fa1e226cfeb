"""Approvals on record: who agreed to a publication before it was made, and whether that stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import PublicationApproved

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
    from lazaretto.values import Actor


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
    kinds = [PublicationApproved.kind]
    found = entries(connection, after=after, subject=f"case:{case}", kinds=kinds)
    return [
        approval_of(entry, entry.event)
        for entry in found
        if isinstance(entry.event, PublicationApproved)
    ]


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
