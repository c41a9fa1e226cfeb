"""Whether one record is in a version of the admitted dataset: the table itself is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.lineage.trace.answer import RecordState
from lazaretto.lineage.trace.summary import label
from lazaretto.storage import tables

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from lazaretto.lineage.trace.walk import Reached


def state_of_record(
    connection: Connection, reached: Reached, batch: str, record: str
) -> tuple[RecordState, set[int]]:
    """What became of a record, and which dataset versions of the walk do not hold it.

    A version that cannot be read counts as holding it.
    """
    present: list[str] = []
    unchecked: list[str] = []
    absent: set[int] = set()
    for key in sorted({edge.dst for edge in reached.edges if edge.src in reached.start}):
        node = reached.nodes[key]
        found = _holds(node.namespace, node.name, node.version, batch, record)
        if found is None:
            unchecked.append(label(node))
        elif found:
            present.append(label(node))
        else:
            absent.add(key)
    held = _held(connection, batch, record)
    state = RecordState(
        record=record,
        held=held is not None,
        case=None if held is None else held.case_id,
        action=None if held is None else held.action,
        present_in=present,
        unchecked=unchecked,
    )
    return state, absent


def _holds(namespace: str, name: str, version: str, batch: str, record: str) -> bool | None:
    """None: the version cannot be read (deleted by a clean-up, or no table of ours)."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    from lazaretto.dataset.contents import records_of

    try:
        uri = name if namespace == "file" else f"{namespace}/{name}"
        there = records_of(DeltaTable(uri, version=int(version)), [batch])["record"]
        named = pa.array([record, f"{batch}#{record}"])
        return bool(pc.any(pc.is_in(there, named)).as_py())
    except (DeltaError, OSError, ValueError, KeyError):
        return None


def _held(connection: Connection, batch: str, record: str) -> Any:
    held, case = tables.held_record.c, tables.case.c
    return connection.execute(
        sa.select(held.case_id, held.action)
        .join_from(tables.held_record, tables.case, held.case_id == case.id)
        .where(case.batch == batch, held.record_id == record)
        .order_by(case.seq.desc())
        .limit(1)
    ).one_or_none()
