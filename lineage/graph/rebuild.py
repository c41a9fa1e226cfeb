"""Makes the lineage index anew: the ledger's part from the ledger, others' claims as they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.ledger.chain import entries, head
from lazaretto.lineage.cursors import cursor
from lazaretto.lineage.graph.graph import NodeKey, Writer
from lazaretto.lineage.graph.index import CURSOR, index_entry
from lazaretto.lineage.graph.told import KINDS
from lazaretto.storage.scratch import scratch
from lazaretto.storage.tables import lineage_edge, lineage_node, projection

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from lazaretto.lineage.graph.verify import IndexCheck

_CHUNK = 500


def write_index(
    target: Connection, catalog: Connection, store_root: str, until: int, check: IndexCheck
) -> None:
    """Writes an index that says what the ledger says, with the claims that stand in the catalog's.

    Args:
        target: connection with empty tables of the index.
        catalog: connection of the catalog, whose ledger holds.
        store_root: root of the store.
        until: the last ledger entry to take.
        check: what `verify_index` found in the catalog's index.
    """
    writer = Writer(target)
    for entry in entries(catalog, kinds=KINDS):
        if entry.seq <= until:
            index_entry(writer, entry, store_root)
            writer.flush()
    _copy_claims(target, catalog, check)


def rebuild_index(connection: Connection, store_root: str, check: IndexCheck) -> None:
    """Replaces the catalog's index by one that says what the ledger says.

    Args:
        connection: of an open `Catalog.transaction`.
        store_root: root of the store.
        check: what `verify_index` found in it.
    """
    until = min(cursor(connection, CURSOR), head(connection))
    with scratch([lineage_node, lineage_edge]) as own:
        write_index(own, connection, store_root, until, check)
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


def _copy_claims(target: Connection, catalog: Connection, check: IndexCheck) -> None:
    """Takes over what other tools claim; nothing of it leads into what the ledger tells of."""
    there = {
        NodeKey(row.namespace, row.name, row.version): row.id
        for row in target.execute(sa.select(lineage_node))
    }
    moved: dict[int, int] = {}
    nodes = catalog.execute(sa.select(lineage_node).execution_options(yield_per=_CHUNK))
    for row in nodes:
        key = check.keys[row.id]
        if row.id not in check.ours and row.first_seq is None and key not in there:
            values = {name: value for name, value in row._mapping.items() if name != "id"}
            result = target.execute(lineage_node.insert().values(values))
            there[key] = int(result.inserted_primary_key[0])  # type: ignore[index]
        if key in there:
            moved[row.id] = there[key]
    edges = catalog.execute(sa.select(lineage_edge).execution_options(yield_per=_CHUNK))
    for row in edges:
        if row.dst not in check.ours and row.src in moved and row.dst in moved:
            values = {**row._mapping, "src": moved[row.src], "dst": moved[row.dst]}
            target.execute(lineage_edge.insert().prefix_with("OR IGNORE").values(values))
