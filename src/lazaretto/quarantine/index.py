"""The index of a case's records beside the file and the decisions that it was made of.

The index is a table to list and filter by. What a decision is about, and what is published, comes
from the ledger and from the files that it names: chunk by chunk, the index must say the same.
"""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from itertools import tee
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from lazaretto.errors import ChangedStateError
from lazaretto.ledger.deletions import deletions_told
from lazaretto.quarantine.counts import UNDECIDED, Counts, kept_counts
from lazaretto.quarantine.held import INDEXED, index_chunks
from lazaretto.storage import tables
from lazaretto.storage.bulk_read import bulk_read

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from sqlalchemy.engine import Connection, Row

    from lazaretto.quarantine.in_force import Standing
    from lazaretto.storage.store import Store
    from lazaretto.values import StoredFile

OF_FILE = INDEXED[1:]
"""Columns of the index that repeat what a case's file says."""
_held = tables.held_record
_KINDS = {"position": pa.int64(), "score": pa.float64(), "p_value": pa.float64()}


def check_index(
    connection: Connection,
    store: Store,
    row: Row[Any],
    held: StoredFile | None,
    standing: Standing,
) -> dict[str, NDArray[np.int64]]:
    """Compares all of a case's index with the file and the decisions that it was made of.

    Memory holds a chunk of each, and the positions of what is published.

    Args:
        connection: of the catalog.
        store: where the file is.
        row: of the case, found true by its ledger entry.
        held: the file with its records; None where retention deleted it: then only decisions are
            compared.
        standing: the decisions in force.

    Returns:
        For each publication that rows name, the positions of its records, ascending.

    Raises:
        ChangedStateError: a row was changed, added or removed by hand, or the case's counts were.
        DeletedPayloadError: retention deleted the file.
        ChangedFileError: it is gone or was changed.
    """
    columns = (*OF_FILE, "decision", "action", "part")
    found = index_rows(connection, columns, [_held.c.case_id == row.id])
    if held is None:
        found, same = tee(found)
        chunks: Iterator[pa.RecordBatch] = (rows.select(["position"]) for rows in same)
    else:
        chunks = index_chunks(store, held)
    told = (with_decisions(chunk, standing) for chunk in chunks)
    counts: Counts = Counter()
    parts: dict[str, list[NDArray[np.int64]]] = {}
    with deletions_told(lambda: nullcontext(connection), row.batch):
        for rows in agreed(row.id, found, told):
            counts.update(_counted(rows))
            published = rows.filter(pc.is_valid(rows["part"]))
            for part in published["part"].unique().to_pylist():
                mine = published.filter(pc.equal(published["part"], part))
                parts.setdefault(part, []).append(mine["position"].to_numpy())
    if counts != kept_counts(connection, [row.id])[row.id] or counts.total() != row.held:
        problem = "the counts of its records are not those of its records"
        raise ChangedStateError(tables.case_count.name, f"of {row.id}", problem)
    return {part: np.concatenate(positions) for part, positions in parts.items()}


def with_decisions(rows: pa.RecordBatch, standing: Standing) -> pa.RecordBatch:
    """Rows of a case with the columns ``decision`` and ``action``: what stands on them."""
    decisions, actions = standing.columns(rows["position"])
    return rows.append_column("decision", decisions).append_column("action", actions)


def _counted(rows: pa.RecordBatch) -> Counts:
    actions = pc.fill_null(rows["action"], UNDECIDED)
    both = pa.table([rows["reason"], actions], names=["reason", "action"])
    found = both.group_by(["reason", "action"]).aggregate([([], "count_all")])
    columns = (found[name].to_pylist() for name in ("reason", "action", "count_all"))
    return Counter({(reason, action): n for reason, action, n in zip(*columns, strict=True)})


def index_rows(
    connection: Connection,
    columns: Sequence[str],
    conditions: Sequence[sa.ColumnElement[bool]],
) -> Iterator[pa.RecordBatch]:
    """Streams rows of the index, in order of position.

    Args:
        connection: of the catalog.
        columns: of the index, ``position`` first.
        conditions: which rows, of one case.
    """
    query = sa.select(*(_held.c[name] for name in columns)).where(*conditions)
    schema = pa.schema([(name, _KINDS.get(name, pa.string())) for name in columns])
    return bulk_read(connection, query.order_by(_held.c.position), schema)


def agreed(
    case: str, found: Iterator[pa.RecordBatch], told: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Streams rows of the index that are, in order, what file and decisions tell.

    Args:
        case: whose rows, for messages.
        found: rows of the index; see `index_rows`.
        told: what they should be; columns that are not there are not compared.

    Raises:
        ChangedStateError: a row says something else, is missing, or is one too many.
    """
    try:
        for row, should in _side_by_side(found, told):
            if row is None or should is None:
                problem = "the ledger does not tell of it" if should is None else "it is gone"
                (some,) = (one for one in (row, should) if one is not None)
                raise _changed(case, some["position"][0].as_py(), problem)
            _compare(case, row, should)
            yield row
    finally:
        # Rows that wait to be read would keep PostgreSQL's connection from any other question, such
        # as why a file is gone: it would wait for ever.
        for _ in found:
            pass


def _compare(case: str, found: pa.RecordBatch, told: pa.RecordBatch) -> None:
    for name in told.schema.names:
        one, other = found.column(name), told.column(name)
        if one.equals(other):
            continue
        same = pc.or_(
            pc.fill_null(pc.equal(one, other), False),
            pc.and_(pc.is_null(one), pc.is_null(other)),
        )
        wrong = np.flatnonzero(~same.to_numpy(zero_copy_only=False))
        if not len(wrong):
            continue
        row = int(wrong[0])
        says, should = one[row].as_py(), other[row].as_py()
        if name == "position":
            # Rows are in order: the lesser one has no row beside it.
            problem = "it is gone" if should < says else "the ledger does not tell of it"
            raise _changed(case, min(says, should), problem)
        problem = f"{name} is {_word(says)}, the ledger says {_word(should)}"
        raise _changed(case, told["position"][row].as_py(), problem)


def _word(value: object) -> str:
    return "empty" if value is None else repr(value)[:200]


def _changed(case: str, position: int, problem: str) -> ChangedStateError:
    return ChangedStateError(_held.name, f"{case} at position {position}", problem)


def _side_by_side(
    one: Iterable[pa.RecordBatch], other: Iterable[pa.RecordBatch]
) -> Iterator[tuple[pa.RecordBatch | None, pa.RecordBatch | None]]:
    """Slices of two streams of the same length each; None where one of them has ended."""
    left, right = _filled(one), _filled(other)
    first, second = next(left, None), next(right, None)
    while first is not None and second is not None:
        rows = min(first.num_rows, second.num_rows)
        yield first.slice(0, rows), second.slice(0, rows)
        first = first.slice(rows) if first.num_rows > rows else next(left, None)
        second = second.slice(rows) if second.num_rows > rows else next(right, None)
    if first is not None or second is not None:
        yield first, second


def _filled(chunks: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    return (chunk for chunk in chunks if chunk.num_rows)
