"""Whether one record is in a version of the admitted dataset: its data files are asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.lineage.openlineage import naming
from lazaretto.lineage.trace.answer import RecordState
from lazaretto.lineage.trace.summary import label
from lazaretto.storage import tables

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

    from lazaretto.lineage.trace.walk import Reached
    from lazaretto.storage.store import Store


def state_of_record(
    connection: Connection, store: Store, reached: Reached, batch: str, record: str
) -> tuple[RecordState, set[int]]:
    """What became of a record, and which dataset versions of the walk do not hold it.

    A version that cannot be read counts as holding it.
    """
    present: list[str] = []
    unchecked: list[str] = []
    absent: set[int] = set()
    for key in sorted({edge.dst for edge in reached.edges if edge.src in reached.start}):
        node = reached.nodes[key]
        found = _holds(connection, store, node, batch, record)
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


def _holds(
    connection: Connection, store: Store, node: Row[Any], batch: str, record: str
) -> bool | None:
    """None: the version is on no record of ours, or a data file of it was lost or changed."""
    import pyarrow as pa

    from lazaretto.dataset.contents import holds_any
    from lazaretto.dataset.history import version_files
    from lazaretto.errors import LazarettoError

    dataset = node.name.rsplit("/", 1)[-1]
    if naming.admitted(store.root, dataset) != (node.namespace, node.name):
        return None
    named = pa.array([record, f"{batch}#{record}"])
    try:
        files = version_files(connection, dataset, int(node.version))
        return holds_any(store, files, {batch: named})
    except (LazarettoError, ValueError):
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
