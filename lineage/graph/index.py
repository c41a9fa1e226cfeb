"""The lineage index: versions as nodes, runs as edges, projected from the ledger into the catalog.

Nodes are immutable versions (a batch, a version of the admitted dataset, a version of a model), so
the graph has no cycles and what is reachable is what really followed. What a snapshot holds is
told by `SnapshotTaken` alone: there are no edges from one version of a dataset to the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.ledger import events
from lazaretto.ledger.chain import entries
from lazaretto.lineage.cursors import advance, cursor, head, lag
from lazaretto.lineage.graph.graph import Edge, Node, Writer
from lazaretto.lineage.openlineage import naming
from lazaretto.lineage.openlineage.outcomes import purpose_of

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
    from lazaretto.storage.workspace import Workspace

CURSOR = "index"
_INDEXED = (
    events.BatchReceived.kind,
    events.BatchAdmitted.kind,
    events.RecordsRecalled.kind,
    events.SnapshotTaken.kind,
    events.ModelRegistered.kind,
)
_CHUNK = 200


def catch_up(workspace: Workspace) -> int:
    """Brings the index up to the ledger's head; safe to repeat and to run from many processes.

    Returns:
        How many ledger entries it moved past.
    """
    done = 0
    while True:
        with workspace.catalog.read() as connection:
            if lag(connection, CURSOR) == 0:
                return done
        with workspace.catalog.transaction() as connection:
            done += _step(connection, workspace.store.root)


def _step(connection: Connection, store_root: str) -> int:
    """One chunk, in one transaction of the catalog, which has one writer at a time."""
    start, last = cursor(connection, CURSOR), head(connection)
    chunk = list(entries(connection, after=start, kinds=_INDEXED, limit=_CHUNK))
    reached = chunk[-1].seq if len(chunk) == _CHUNK else last
    writer = Writer(connection)
    for entry in chunk:
        _index(writer, entry, store_root)
    writer.flush()
    advance(connection, CURSOR, reached)
    return reached - start


def _index(writer: Writer, entry: Entry, store_root: str) -> None:
    run = naming.run_id(entry)
    match entry.event:
        case events.BatchReceived() as event:
            writer.add(_batch_node(store_root, event, entry))
        case events.BatchAdmitted() as event:
            version = writer.add(_dataset_node(store_root, event.dataset, event.version, entry))
            if event.rows:
                batch = writer.batch(event.batch, store_root, entry)
                writer.connect(Edge(batch, version, run, "ADMITTED", event.rows))
        case events.RecordsRecalled() as event:
            writer.add(_dataset_node(store_root, event.dataset, event.version, entry))
        case events.SnapshotTaken() as event:
            version = writer.add(
                _dataset_node(
                    store_root, event.dataset, event.version, entry, event.rows, event.digest
                )
            )
            held = [member for member in event.members if member.rows]
            batches = writer.batches([member.batch for member in held], store_root, entry)
            for batch, member in zip(batches, held, strict=True):
                writer.connect(Edge(batch, version, run, "MEMBER", member.rows))
        case events.ModelRegistered() as event:
            snapshot = writer.add(_dataset_node(store_root, event.dataset, event.snapshot, entry))
            model = writer.add(_model_node(event, entry))
            writer.connect(Edge(snapshot, model, run, purpose_of(event), event.rows))


def _batch_node(store_root: str, event: events.BatchReceived, entry: Entry) -> Node:
    namespace, name = naming.batches(store_root, event.source)
    return Node(
        namespace=namespace,
        name=name,
        version=event.batch,
        kind="BATCH",
        source=event.source,
        t_from=event.collected_from,
        t_to=event.collected_to,
        received_at=event.received_at,
        signature=event.signature.status.value,
        digest=event.digest,
        rows=event.rows,
        first_seq=entry.seq,
    )


def _dataset_node(
    store_root: str,
    dataset: str,
    version: int,
    entry: Entry,
    rows: int | None = None,
    digest: str | None = None,
) -> Node:
    """A version of the admitted dataset; its digest says that its members are known."""
    namespace, name = naming.admitted(store_root, dataset)
    return Node(
        namespace=namespace,
        name=name,
        version=str(version),
        kind="SNAPSHOT",
        received_at=entry.at,
        digest=digest,
        rows=rows,
        first_seq=entry.seq,
    )


def _model_node(event: events.ModelRegistered, entry: Entry) -> Node:
    namespace, name = naming.model(event.registry, event.model)
    return Node(
        namespace=namespace,
        name=name,
        version=event.version,
        kind="MODEL",
        received_at=entry.at,
        digest=event.artifact_digest,
        rows=event.rows,
        first_seq=entry.seq,
    )
