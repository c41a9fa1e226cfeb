"""The lineage index: versions as nodes, runs as edges, projected from the ledger into the catalog.

Nodes are immutable versions (a batch, a version of an admitted dataset, a version of a model). What
a version of a dataset holds is told by what came and left with each version up to it: edges from
batches, of admissions and recalls. `lazaretto.lineage.trace.holdings` sums them up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.lineage.cursors import Projection, follow
from lazaretto.lineage.graph.graph import Edge, Writer
from lazaretto.lineage.graph.told import KINDS, stray_batch, told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
    from lazaretto.storage.workspace import Workspace

CURSOR = "index"
_AT_ONCE = 200


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
    return follow(workspace, Projection(CURSOR, KINDS, _AT_ONCE, _write))


def _write(connection: Connection, store_root: str, chunk: Sequence[Entry]) -> None:
    writer = Writer(connection)
    for entry in chunk:
        index_entry(writer, entry, store_root)
    writer.flush()


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
