"""What stands of a case: its decisions and publications by the ledger; the tables must agree.

The tables are an index to list and filter by. What a reviewer's decision is about, and what is
published, comes from the ledger and from the files that it names.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from lazaretto.errors import ChangedStateError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.cover import agree
from lazaretto.ledger.deletions import deletions_told
from lazaretto.ledger.events import BatchAdmitted, RecordsDecided
from lazaretto.ledger.state import entry_columns
from lazaretto.quarantine.decisions import Decision, decided_columns, decision_of
from lazaretto.quarantine.held import INDEX_COLUMNS, INDEXED
from lazaretto.storage import tables
from lazaretto.storage.sidecars import read_chunks, read_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection, Row

    from lazaretto.ledger.chain import Entry
    from lazaretto.storage.store import Store
    from lazaretto.values import Actor, Release, StoredFile

_held = tables.held_record
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


def in_force(store: Store, decisions: Sequence[Decision]) -> dict[int, Decision]:
    """The decision in force on each record, by position in the case's file.

    A later decision replaces an earlier one; one that was undone does not count.

    Raises:
        ChangedFileError: a list of decided records is gone or was changed.
    """
    found: dict[int, Decision] = {}
    for decision in decisions:
        if decision.undoes is None and decision.undone_by is None:
            ids = read_table(store, decision.ids, columns=["position"])
            found |= dict.fromkeys(ids["position"].to_pylist(), decision)
    return found


def actions_in_force(store: Store, decisions: Sequence[Decision]) -> pa.Table:
    """The action in force on each decided record: ``position``, ``record_id`` and ``action``.

    As `in_force`, for very many records.

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


def check_index(connection: Connection, store: Store, row: Row[Any], held: StoredFile) -> None:
    """Compares the index of a case's records with the file that it was made of.

    Raises:
        ChangedStateError: a row was changed, added or removed by hand.
        DeletedPayloadError: retention deleted the file.
        ChangedFileError: it is gone or was changed.
    """
    with deletions_told(lambda: nullcontext(connection), row.batch):
        _check_index(connection, store, row.id, held)


def _check_index(connection: Connection, store: Store, case: str, held: StoredFile) -> None:
    wanted = [_held.c[name] for name in INDEXED if name != "case_id"]
    query = sa.select(*wanted).where(_held.c.case_id == case).order_by(_held.c.position)
    rows = connection.execute(query.execution_options(yield_per=10_000))
    for row, record in zip_longest(rows, _indexed(store, held)):
        if row is None or record is None or _same(row) != _same(record):
            place = f"{case} at position {(row or record)[0]}"
            problem = "it is not what the file of held records says"
            raise ChangedStateError(_held.name, place, problem)


def check_actions(
    connection: Connection, case: str, standing: dict[int, Decision]
) -> dict[int, str | None]:
    """Compares the decision in force on each row with what stands; gives each row's publication.

    Raises:
        ChangedStateError: a row says something else than the ledger's decisions.
    """
    columns = (_held.c.position, _held.c.decision, _held.c.action, _held.c.part)
    query = sa.select(*columns).where(_held.c.case_id == case)
    parts: dict[int, str | None] = {}
    for position, decision, action, part in connection.execute(query):
        stands = standing.get(position)
        said = (None, None) if stands is None else (stands.id, stands.action.value)
        if (decision, action) != said:
            problem = f"it says {action or 'undecided'}, the ledger says {said[1] or 'undecided'}"
            raise ChangedStateError(_held.name, f"{case} at position {position}", problem)
        parts[position] = part
    return parts


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


def _indexed(store: Store, held: StoredFile) -> Iterator[tuple[object, ...]]:
    for chunk in read_chunks(store, held):
        columns = [chunk.column(name).to_pylist() for name in INDEX_COLUMNS]
        yield from zip(*columns, strict=True)


def _same(values: Sequence[object]) -> list[object]:
    """Values to compare: SQLite keeps no NaN, but NULL."""
    return [None if value != value else value for value in values]  # noqa: PLR0124
