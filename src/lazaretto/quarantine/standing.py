"""What stands of a case: its decisions and publications by the ledger; the tables must agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from lazaretto.errors import ChangedStateError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.cover import agree
from lazaretto.ledger.events import BatchAdmitted, RecordsDecided
from lazaretto.ledger.state import entry_columns
from lazaretto.quarantine.decisions import Decision, decided_columns, decision_of
from lazaretto.storage import tables
from lazaretto.storage.sidecars import read_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
    from lazaretto.storage.store import Store
    from lazaretto.values import Actor, Release

_decision = tables.decision
_ACTIONS = pa.schema(
    [("position", pa.int64()), ("record_id", pa.string()), ("action", pa.string())]
)


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
        releases: the decisions by which they are released, with who decided.
        approved_by: who approved the publication beforehand.
        seq: ledger entry.
    """

    part: str
    dataset: str
    version: int
    rows: int
    at: datetime
    by: Actor
    releases: list[Release]
    approved_by: list[str]
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


def actions_in_force(store: Store, decisions: Sequence[Decision]) -> pa.Table:
    """The action in force on each decided record: ``position``, ``record_id`` and ``action``.

    As `lazaretto.quarantine.in_force.in_force`, with the ids of the records.

    Raises:
        ChangedFileError: a list of decided records is gone or was changed.
    """
    parts = [_ACTIONS.empty_table()]
    for decision in decisions:
        if decision.undoes is None and decision.undone_by is None:
            ids = read_table(store, decision.ids, columns=["position", "record_id"])
            action = pa.repeat(decision.action.value, ids.num_rows)
            parts.append(ids.append_column("action", action).cast(_ACTIONS))
    found = pa.concat_tables(parts)
    # The last of each position: the first of them from behind.
    behind = found["position"].to_numpy()[::-1]
    _, first = np.unique(behind, return_index=True)
    return found.take(pa.array(len(behind) - 1 - first))


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
            releases=entry.event.releases,
            approved_by=entry.event.approved_by,
            seq=entry.seq,
        )
        for entry in found
        if isinstance(entry.event, BatchAdmitted) and entry.event.case == case
    ]
