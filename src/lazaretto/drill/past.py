"""Drills on record: what the gate of a dataset caught, night by night."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import DrillRun

if TYPE_CHECKING:
    from datetime import datetime

    from lazaretto.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class PastDrill:
    """A drill that is on record.

    Attributes:
        seq: ledger entry.
        at: when, UTC.
        by: who ran it.
        event: what it says.
    """

    seq: int
    at: datetime
    by: str
    event: DrillRun


def past_drills(workspace: Workspace, dataset: str, *, limit: int = 30) -> list[PastDrill]:
    """The drills of a dataset's gate, newest first.

    Args:
        workspace: catalog and store.
        dataset: its name.
        limit: at most so many.

    Raises:
        LedgerError: an entry was edited.

    Examples:
        >>> past_drills(workspace, "reviews")
        []
    """
    with workspace.catalog.read() as connection:
        found = entries(
            connection,
            subject=f"dataset:{dataset}",
            kinds=[DrillRun.kind],
            newest_first=True,
            limit=limit,
        )
        return [
            PastDrill(entry.seq, entry.at, entry.actor.id, entry.event)
            for entry in found
            if isinstance(entry.event, DrillRun)
        ]
