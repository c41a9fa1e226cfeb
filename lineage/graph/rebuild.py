"""Makes the lineage index anew from the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.ledger.chain import entries, head
from lazaretto.lineage.cursors import cursor
from lazaretto.lineage.graph.graph import Writer
from lazaretto.lineage.graph.index import CURSOR, index_entry
from lazaretto.lineage.graph.told import KINDS
from lazaretto.storage.scratch import scratch
from lazaretto.storage.tables import lineage_edge, lineage_node, projection

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_CHUNK = 500


def write_index(target: Connection, catalog: Connection, store_root: str, until: int) -> None:
    """Writes an index that says what the ledger says.

    Args:
        target: connection with empty tables of the index.
        catalog: connection of the catalog, whose ledger holds.
        store_root: root of the store.
        until: the last ledger entry to take.
    """
    writer = Writer(target)
    for entry in entries(catalog, kinds=KINDS):
        if entry.seq <= until:
            index_entry(writer, entry, store_root)
            writer.flush()


def rebuild_index(connection: Connection, store_root: str) -> None:
    """Replaces the catalog's index by one that says what the ledger says.

    Args:
        connection: of an open `Catalog.transaction`.
        store_root: root of the store.
    """
    until = min(cursor(connection, CURSOR), head(connection))
    with scratch([lineage_node, lineage_edge]) as own:
        write_index(own, connection, store_root, until)
        connection.execute(lineage_edge.delete())
        connection.execute(lineage_node.delete())
        for table in (lineage_node, lineage_edge):
            rows = own.execute(sa.select(table).execution_options(yield_per=_CHUNK))
            for part in rows.partitions(_CHUNK):
                connection.execute(table.insert(), [row._asdict() for row in part])
    if connection.dialect.name == "postgresql":
        newest = sa.select(
            sa.func.coalesce(sa.func.max(lineage_node.c.id), 0) + 1
        ).scalar_subquery()
        sequence = sa.func.pg_get_serial_sequence(lineage_node.name, "id")
        connection.execute(sa.select(sa.func.setval(sequence, newest, False)))
    connection.execute(projection.update().where(projection.c.name == CURSOR).values(seq=until))
