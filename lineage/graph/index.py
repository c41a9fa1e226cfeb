"""The lineage index: versions as nodes, runs as edges, projected from the ledger into the catalog.

Nodes are immutable versions (a batch, a version of an admitted dataset, a version of a model). What
a version of a dataset holds is told by what came and left with each version up to it: edges from
batches, of admissions and recalls. `lazaretto.lineage.trace.holdings` sums them up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.ledger.chain import entries, head
from lazaretto.lineage.cursors import advance, cursor, lag
from lazaretto.lineage.graph.graph import Edge, Writer
from lazaretto.lineage.graph.told import KINDS, stray_batch, told

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
    from lazaretto.storage.workspace import Workspace

CURSOR = "index"
_CHUNK = 200


def catch_up(workspace: Workspace) -> int:
    """Brings the index up to the ledger's head; safe to repeat and to run from many processes.

    Returns:
        How many ledger entries it moved past.

    Examples:
        >>> catch_up(workspace) > 0  # ledger entries that were read
        True
        >>> catch_up(workspace)
        0
    """
    done = 0
    while True:
        with workspace.catalog.read() as connection:
            if lag(connection, CURSOR) <= 0:
                return done
        with workspace.catalog.transaction() as connection:
            done += _step(connection, workspace.store.root)


def _step(connection: Connection, store_root: str) -> int:
    """One chunk, in one transaction of the catalog, which has one writer at a time."""
    start, last = cursor(connection, CURSOR), head(connection)
    chunk = list(entries(connection, after=start, kinds=KINDS, limit=_CHUNK))
    reached = chunk[-1].seq if len(chunk) == _CHUNK else last
    writer = Writer(connection)
    for entry in chunk:
        index_entry(writer, entry, store_root)
    writer.flush()
    advance(connection, CURSOR, reached)
    return reached - start


def index_entry(writer: Writer, entry: Entry, store_root: str) -> None:
    """Writes what one entry tells; its edges wait for `Writer.flush`."""
    found = told(entry, store_root)
    if found is None:
        return
    ids = [writer.add(node) for node in found.nodes]
    strays = {
        member.batch: stray_batch(store_root, member.batch, entry.seq) for member in found.members
    }
    for batch, member in zip(writer.batches(strays), found.members, strict=True):
        writer.connect(Edge(batch, ids[-1], found.run, found.role, member.rows))
    for before, read in zip(ids[:-1], found.read, strict=True):
        writer.connect(Edge(before, ids[-1], found.run, read.role, read.rows))
