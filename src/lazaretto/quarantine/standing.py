"""What stands of a case: its decisions and publications by the ledger; the tables must agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.errors import ChangedStateError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.cover import agree
from lazaretto.ledger.events import BatchAdmitted, RecordsDecided
from lazaretto.ledger.state import entry_columns
from lazaretto.quarantine.decisions import Decision, decided_columns, decision_of
from lazaretto.storage import tables

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
    from lazaretto.values import Actor

_decision = tables.decision


@dataclass(frozen=True, slots=True)
class Publication:
    """Released records of a case that entered the dataset.

    Attributes:
        part: its id.
        dataset: name.
        version: Delta version that the commit made.
        rows: how many records.
        at: when, UTC.
        by: who published them.
        seq: ledger entry.
    """

    part: str
    dataset: str
    version: int
    rows: int
    at: datetime
    by: Actor
    seq: int


def decisions_of(connection: Connection, case: str) -> list[Decision]:
    """Every decision on a case, oldest first, from the ledger.

    Raises:
        ChangedStateError: the catalog's rows of them say something else.
    """
    found = list(entries(connection, subject=f"case:{case}", kinds=[RecordsDecided.kind]))
    decisions = as_decisions(found)
    query = sa.select(_decision).where(_decision.c.case_id == case)
    rows = {row.id: row for row in connection.execute(query)}
    for name in rows.keys() ^ {decision.id for decision in decisions}:
        missing = "the ledger" if name in rows else "the catalog"
        raise ChangedStateError(_decision.name, name, f"{missing} does not have it")
    for entry, decision in zip(found, decisions, strict=True):
        if isinstance(entry.event, RecordsDecided):
            said = decided_columns(entry.event, entry.actor) | entry_columns(entry)
            said["undone_by"] = decision.undone_by
            agree(_decision.name, decision.id, rows[decision.id], said)
    return decisions


def as_decisions(found: Iterable[Entry]) -> list[Decision]:
    """Decisions as their entries tell them, in the same order, each with what took it back."""
    told = [(entry, entry.event) for entry in found if isinstance(entry.event, RecordsDecided)]
    undone = {event.undoes: event.decision for _, event in told if event.undoes is not None}
    return [decision_of(entry, event, undone.get(event.decision)) for entry, event in told]


def publications_of(connection: Connection, batch: str, case: str) -> list[Publication]:
    """What was published of a case, oldest first, from the ledger."""
    found = entries(connection, subject=f"batch:{batch}", kinds=[BatchAdmitted.kind])
    return [
        Publication(
            part=entry.event.part,
            dataset=entry.event.dataset,
            version=entry.event.version,
            rows=entry.event.rows,
            at=entry.at,
            by=entry.actor,
            seq=entry.seq,
        )
        for entry in found
        if isinstance(entry.event, BatchAdmitted) and entry.event.case == case
    ]
