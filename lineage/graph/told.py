"""What one ledger entry tells of the graph: versions, and what the last of them was made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.ledger import events
from lazaretto.lineage.graph.graph import Node
from lazaretto.lineage.openlineage import naming
from lazaretto.lineage.openlineage.outcomes import purpose_of
from lazaretto.values import InputKind, Member

if TYPE_CHECKING:
    from lazaretto.ledger.chain import Entry
    from lazaretto.values import ModelInput

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
"""Role of an edge from a batch to the version that first has records of it."""
MEMBER = "MEMBER"
"""Role of an edge from a batch to a snapshot that tells of it; with 0 rows it is not in it."""
SINCE = "SINCE"
"""Role of an edge from a snapshot to a later one that is told as differences from it."""
MEMBERSHIP = frozenset({ADMITTED, MEMBER, SINCE})
"""Roles of the edges that say which batches a version of a dataset holds."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an entry tells.

    Attributes:
        nodes: versions; the last one is what was made.
        run: OpenLineage run id of the entry; empty where it tells of no edge.
        role: of the edges from batches into the last node.
        members: batches that it was made of, each with its records; of a snapshot that is told as
            differences from the one before it, 0 for a batch that is not in it any more.
        via: role of the edge from the node before the last one, where there is one.
        rows: records that came by that edge, where it is known.
    """

    nodes: tuple[Node, ...]
    run: str
    role: str = ""
    members: tuple[Member, ...] = ()
    via: str = ""
    rows: int | None = None

    @property
    def made(self) -> Node:
        """The version that the entry made."""
        return self.nodes[-1]


def told(entry: Entry, store_root: str) -> Told | None:
    """What an entry tells; None where it tells nothing.

    Args:
        entry: of the ledger.
        store_root: root of the store, by which batches and datasets are named.
    """
    if isinstance(entry.event, events.BatchReceived):
        return Told((_batch_node(store_root, entry.event, entry),), "")
    run = naming.run_id(entry)
    match entry.event:
        case events.BatchAdmitted() as event:
            members = (Member(event.batch, event.rows),) if event.rows else ()
            node = _dataset_node(store_root, event.dataset, event.version, entry)
            return Told((node,), run, ADMITTED, members)
        case events.RecordsRecalled() | events.RowsLost() as event:
            return Told((_dataset_node(store_root, event.dataset, event.version, entry),), run)
        case events.SnapshotTaken() | events.ViewTaken() as event:
            return _snapshot(store_root, event, entry, run)
        case events.ModelRegistered() as event:
            # What it was only measured on is no edge, but for a first snapshot of that purpose.
            learned = event.learned_from
            counted = learned[: event.dataset is not None] + [
                one for one in learned[event.dataset is not None :] if one.role.weighs
            ]
            found = tuple(_input_node(store_root, one, entry) for one in counted)
            rows = event.rows if event.dataset is not None and len(found) == 1 else None
            return Told((*found, _model_node(event, entry)), run, via=purpose_of(event), rows=rows)
    return None


def _input_node(store_root: str, one: ModelInput, entry: Entry) -> Node:
    """What a model learned from: of a table of others, and of a model, no more is known here."""
    if one.kind is InputKind.SNAPSHOT:
        return _dataset_node(store_root, one.name, str(one.version), entry)
    kind = "MODEL" if one.kind is InputKind.MODEL else "SNAPSHOT"
    namespace, name = naming.DatasetName(one.namespace, one.name)
    return Node(namespace, name, one.version or "", kind, received_at=entry.at, first_seq=entry.seq)


def _view(store_root: str, event: events.ViewTaken, entry: Entry, run: str) -> Told:
    """A view, told as what it leaves out of its snapshot."""
    before = _dataset_node(store_root, event.dataset, event.version, entry)
    node = _dataset_node(store_root, event.dataset, event.view, entry, event.rows, event.digest)
    left_out = tuple(Member(batch, 0) for batch in event.excluded)
    return Told((before, node), run, MEMBER, left_out, via=SINCE)


def _snapshot(
    store_root: str, event: events.SnapshotTaken | events.ViewTaken, entry: Entry, run: str
) -> Told:
    """The batches of a snapshot; or the snapshot that it builds on, and what it changes."""
    if isinstance(event, events.ViewTaken):
        return _view(store_root, event, entry, run)
    node = _dataset_node(store_root, event.dataset, event.version, entry, event.rows, event.digest)
    named = {member.batch: member for member in reversed(event.members)}
    if event.since is None:
        held = tuple(member for member in reversed(named.values()) if member.rows)
        return Told((node,), run, MEMBER, held)
    before = _dataset_node(store_root, event.dataset, event.since, entry)
    return Told((before, node), run, MEMBER, tuple(reversed(named.values())), via=SINCE)


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
