"""What one ledger entry tells of the graph: versions, and what the last of them was made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from lazaretto.ledger import events
from lazaretto.lineage.graph.graph import Node, NodeKey
from lazaretto.lineage.openlineage import naming
from lazaretto.lineage.openlineage.outcomes import purpose_of
from lazaretto.values import InputKind, Member

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lazaretto.ledger.chain import Entry

KINDS = (
    events.BatchReceived.kind,
    events.BatchAdmitted.kind,
    events.RecordsRecalled.kind,
    events.RowsLost.kind,
    events.SnapshotTaken.kind,
    events.ViewTaken.kind,
    events.ModelRegistered.kind,
)
"""Kinds of entry that tell anything of it."""
ADMITTED = "ADMITTED"
"""Role of an edge from a batch to the version that records of it enter with."""
RECALLED = "RECALLED"
"""Role of an edge from a batch to the first version without some records of it."""
LOST = "LOST"
"""The same, where the records are gone from the store."""
LEFT_OUT = "LEFT_OUT"
"""Role of an edge from a batch to a view of a snapshot that is without it."""
OF = "OF"
"""Role of an edge from a snapshot to a view of it."""
MEMBERSHIP = frozenset({ADMITTED, RECALLED, LOST})
"""Roles of the edges that say which batches a version of a dataset holds."""


class Read(NamedTuple):
    """A version that something was made from, how it was used, and how many records of it."""

    node: Node
    role: str
    rows: int | None


@dataclass(frozen=True, slots=True)
class Told:
    """What an entry tells.

    Attributes:
        made: the version that it tells of.
        run: OpenLineage run id of the entry; empty where it tells of no edge.
        role: of the edges from batches into it.
        members: batches that change with it, each with how many records come or leave.
        read: versions that it was made from.
    """

    made: Node
    run: str
    role: str = ""
    members: tuple[Member, ...] = ()
    read: tuple[Read, ...] = ()

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All versions that it tells of; the one that was made is the last."""
        return (*(read.node for read in self.read), self.made)


def told(entry: Entry, store_root: str) -> Told | None:
    """What an entry tells; None where it tells nothing.

    Args:
        entry: of the ledger.
        store_root: root of the store, by which batches and datasets are named.
    """
    if isinstance(entry.event, events.BatchReceived):
        return Told(_batch_node(store_root, entry.event, entry), "")
    run = naming.run_id(entry)
    match entry.event:
        case events.BatchAdmitted() | events.RecordsRecalled() | events.RowsLost() as event:
            node = _dataset_node(store_root, event.dataset, event.version, entry)
            return Told(node, run, *_changed(event))
        case events.SnapshotTaken() as event:
            version, rows, digest = event.version, event.rows, event.digest
            return Told(_dataset_node(store_root, event.dataset, version, entry, rows, digest), run)
        case events.ViewTaken() as event:
            return _view(store_root, event, entry, run)
        case events.ModelRegistered() as event:
            return Told(_model_node(event, entry), run, read=_read(store_root, event, entry))
    return None


def _view(store_root: str, event: events.ViewTaken, entry: Entry, run: str) -> Told:
    """A view, told as what it leaves out of its snapshot."""
    before = _dataset_node(store_root, event.dataset, event.version, entry)
    made = _dataset_node(store_root, event.dataset, event.view, entry, event.rows, event.digest)
    left_out = tuple(Member(batch, 0) for batch in event.excluded)
    return Told(replace(made, kind="VIEW"), run, LEFT_OUT, left_out, (Read(before, OF, None),))


def _read(store_root: str, event: events.ModelRegistered, entry: Entry) -> tuple[Read, ...]:
    """The snapshots that a model learned from; the rest is told by `lazaretto.lineage.claims`."""
    purpose = purpose_of(event)
    found: dict[NodeKey, Read] = {}
    if event.dataset is not None and event.snapshot is not None:
        node = _dataset_node(store_root, event.dataset, event.snapshot, entry)
        found[node.key] = Read(node, purpose, event.rows)
    for each in event.inputs:
        if each.kind is InputKind.SNAPSHOT and each.version is not None:
            node = _dataset_node(store_root, each.name, each.version, entry)
            role = "EVAL" if purpose == "EVAL" or not each.role.weighs else each.role.value
            found.setdefault(node.key, Read(node, role, each.rows))
    return tuple(found.values())


def _changed(
    event: events.BatchAdmitted | events.RecordsRecalled | events.RowsLost,
) -> tuple[str, tuple[Member, ...]]:
    """What came or left with a version."""
    match event:
        case events.BatchAdmitted():
            return ADMITTED, _summed([Member(event.batch, event.rows)])
        case events.RecordsRecalled():
            return RECALLED, _summed(event.members)
        case events.RowsLost():
            return LOST, _summed(Member(part.batch, part.rows) for part in event.parts)


def _summed(members: Iterable[Member]) -> tuple[Member, ...]:
    """Each batch once, with all its records."""
    rows: dict[str, int] = {}
    for member in members:
        rows[member.batch] = rows.get(member.batch, 0) + member.rows
    return tuple(Member(batch, count) for batch, count in rows.items() if count)


def stray_batch(store_root: str, batch: str, seq: int) -> Node:
    """A batch that the ledger never received: a node without dates, which every window includes.

    Args:
        store_root: root of the store.
        batch: its id.
        seq: of the entry that names it.
    """
    source = naming.source_of(batch)
    namespace, name = naming.batches(store_root, source)
    return Node(namespace, name, batch, "BATCH", source, first_seq=seq)


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
    version: int | str,
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
