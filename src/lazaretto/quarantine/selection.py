"""Which held records a decision is about: by id, by position, or by what they have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import sqlalchemy as sa

from lazaretto.errors import NotFoundError
from lazaretto.storage import tables

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.engine import Connection

_held = tables.held_record
_AT_ONCE = 10_000  # bound parameters of one statement: SQLite takes 32,766
_SCHEMA = pa.schema([("position", pa.int64()), ("record_id", pa.string())])


def select_records(
    connection: Connection, conditions: Sequence[sa.ColumnElement[bool]]
) -> pa.Table:
    """Position and record id of the held records that meet conditions, in order of position."""
    query = sa.select(_held.c.position, _held.c.record_id).where(*conditions)
    rows = connection.execute(query.order_by(_held.c.position)).all()
    return pa.table(
        [pa.array([row[0] for row in rows]), pa.array([row[1] for row in rows])], schema=_SCHEMA
    )


def select_ids(connection: Connection, case: str, ids: Collection[str]) -> pa.Table:
    """The same for record ids.

    Raises:
        NotFoundError: an id that is not held in the case.
    """
    return _select(connection, case, _held.c.record_id, sorted(set(ids)))


def select_positions(connection: Connection, case: str, positions: Collection[int]) -> pa.Table:
    """The same for positions in the batch.

    Raises:
        NotFoundError: a position of which no record is held in the case.
    """
    return _select(connection, case, _held.c.position, sorted(set(positions)))


def _select(
    connection: Connection, case: str, column: sa.Column[Any], wanted: Sequence[str] | Sequence[int]
) -> pa.Table:
    parts = [_SCHEMA.empty_table()]
    for start in range(0, len(wanted), _AT_ONCE):
        some = column.in_(wanted[start : start + _AT_ONCE])
        parts.append(select_records(connection, [_held.c.case_id == case, some]))
    found = pa.concat_tables(parts).sort_by("position")
    there = set(found[column.name].to_pylist())
    if missing := [each for each in wanted if each not in there]:
        raise NotFoundError(
            f"{len(missing)} of {len(wanted)} records are not held in {case}: {missing[:3]}"
        )
    return found
