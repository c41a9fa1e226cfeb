"""Which held records a decision is about: by id, by position, or by what they have in common.

They are selected from the file of the case, and by the decisions on the ledger; the index must
select the same ones, and say the same of them, or nothing is decided.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.errors import NotFoundError
from lazaretto.ledger.deletions import deletions_told
from lazaretto.quarantine.filters import conditions, of_file
from lazaretto.quarantine.held import index_chunks
from lazaretto.quarantine.in_force import in_force
from lazaretto.quarantine.index import OF_FILE, agreed, index_rows, with_decisions
from lazaretto.quarantine.standing import decisions_of
from lazaretto.storage import tables
from lazaretto.storage.bulk import among

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy.engine import Connection, Row

    from lazaretto.storage.store import Store
    from lazaretto.values import StoredFile

_held = tables.held_record
_SELECTED = pa.schema([("position", pa.int64()), ("record_id", pa.string())])
_POSITIONS = 2**63


def select_records(
    connection: Connection,
    store: Store,
    row: Row[Any],
    held: StoredFile,
    filter: Mapping[str, str],  # noqa: A002
) -> pa.Table:
    """Position and record id of the records that a filter takes, in order of position.

    Args:
        connection: of the catalog.
        store: where the case's files are.
        row: of the case, found true by its ledger entry.
        held: the file with its records.
        filter: see `lazaretto.quarantine.filters.conditions`; empty for all records.

    Raises:
        UsageError: an unknown filter, or a value that it cannot have.
        ChangedStateError: the index selects other records, or says something else of them.
        DeletedPayloadError: retention deleted the file.
        ChangedFileError: the file, or one with the records of a decision, is gone or was changed.
    """
    wanted = conditions(row.id, filter)
    with deletions_told(lambda: nullcontext(connection), row.batch):
        told: Iterable[pa.RecordBatch] = index_chunks(store, held)
        columns: Sequence[str] = OF_FILE
        if "action" in filter:
            columns = (*OF_FILE, "decision", "action")
            standing = in_force(store, decisions_of(connection, row.id))
            told = (with_decisions(chunk, standing) for chunk in told)
        told = (of_file(chunk, filter) for chunk in told)
        return _selected(agreed(row.id, index_rows(connection, columns, wanted), told))


def select_ids(
    connection: Connection, store: Store, row: Row[Any], held: StoredFile, ids: Collection[str]
) -> pa.Table:
    """The same for record ids.

    Raises:
        NotFoundError: an id that is not held in the case.
    """
    wanted = sorted(set(ids))
    values = pa.array(wanted, pa.string())
    with deletions_told(lambda: nullcontext(connection), row.batch):
        chunks = index_chunks(store, held)
        told = [chunk.filter(pc.is_in(chunk["record_id"], values)) for chunk in chunks]
        positions = [place for chunk in told for place in chunk["position"].to_pylist()]
        found = _at(connection, row.id, told, positions)
    return _all_of(row.id, found, "record_id", wanted)


def select_positions(
    connection: Connection,
    store: Store,
    row: Row[Any],
    held: StoredFile,
    positions: Collection[int],
) -> pa.Table:
    """The same for positions in the batch.

    Raises:
        NotFoundError: a position of which no record is held in the case.
    """
    wanted = sorted(set(positions))
    there = [position for position in wanted if 0 <= position < _POSITIONS]
    with deletions_told(lambda: nullcontext(connection), row.batch):
        told = index_chunks(store, held, pa.array(there, pa.int64()))
        found = _at(connection, row.id, told, there)
    return _all_of(row.id, found, "position", wanted)


def _at(
    connection: Connection, case: str, told: Iterable[pa.RecordBatch], positions: Sequence[int]
) -> pa.Table:
    at = [_held.c.case_id == case, among(connection, _held.c.position, positions)]
    return _selected(agreed(case, index_rows(connection, OF_FILE, at), told))


def _selected(chunks: Iterable[pa.RecordBatch]) -> pa.Table:
    return pa.Table.from_batches((chunk.select(_SELECTED.names) for chunk in chunks), _SELECTED)


def _all_of(
    case: str, found: pa.Table, column: str, wanted: Sequence[str] | Sequence[int]
) -> pa.Table:
    there = set(found[column].to_pylist())
    if missing := [each for each in wanted if each not in there]:
        raise NotFoundError(
            f"{len(missing)} of {len(wanted)} records are not held in {case}: {missing[:3]}"
        )
    return found
