"""What a trace looks at: the ledger, and an index that says nothing but what the ledger says."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.ledger.chain import entries
from lazaretto.lineage.cursors import cursor, head
from lazaretto.lineage.graph.graph import NodeKey, Writer
from lazaretto.lineage.graph.index import CURSOR, catch_up, index_entry
from lazaretto.lineage.graph.told import KINDS
from lazaretto.lineage.graph.verify import verify_index
from lazaretto.storage.scratch import scratch
from lazaretto.storage.tables import lineage_edge, lineage_node

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.lineage.graph.verify import IndexCheck
    from lazaretto.storage.workspace import Workspace

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class View:
    """One moment of the catalog, checked.

    Attributes:
        catalog: connection of the catalog: the ledger, which holds.
        index: connection of the lineage index that answers are made of: the catalog's where it says
            what the ledger says, else one made anew from the ledger.
        seq: ledger entry up to which the index goes.
        changed: rows of the catalog's index that did not say what the ledger says.
    """

    catalog: Connection
    index: Connection
    seq: int
    changed: int = 0


@contextmanager
def sound_view(workspace: Workspace) -> Iterator[View]:
    """Brings the index up to date, holds it against the ledger, and gives what answers rest on.

    The catalog's index is left as it is: `lazaretto catalog rebuild` mends it. Until then each
    trace makes its own from the ledger, with what other tools claim beside it.

    Raises:
        LedgerError: the ledger does not hold; then nothing is answered.
        SystemFaultError: the catalog cannot be used.
    """
    catch_up(workspace)
    root = workspace.store.root
    with workspace.catalog.read() as connection:
        until = min(cursor(connection, CURSOR), head(connection))
        check = verify_index(connection, root, until=until)
        if check.sound:
            yield View(connection, connection, until)
            return
        with scratch([lineage_node, lineage_edge]) as own:
            write_index(own, connection, root, until)
            _copy_claims(own, connection, check)
            yield View(connection, own, until, check.differences.total)


def write_index(target: Connection, catalog: Connection, store_root: str, until: int) -> None:
    """Writes the ledger's part of the index anew.

    Args:
        target: connection with empty tables of the index.
        catalog: connection of the catalog.
        store_root: root of the store.
        until: the last ledger entry to take.
    """
    writer = Writer(target)
    for entry in entries(catalog, kinds=KINDS):
        if entry.seq <= until:
            index_entry(writer, entry, store_root)
            writer.flush()


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
