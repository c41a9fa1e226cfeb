"""Writes nodes and edges of the lineage index; the same write twice changes nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import sqlalchemy as sa

from lazaretto.storage.bulk import upsert
from lazaretto.storage.tables import lineage_edge, lineage_node

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

_CHUNK = 500
_T = TypeVar("_T")


class NodeKey(NamedTuple):
    """What makes a node the node it is: OpenLineage's namespace and name, and the version."""

    namespace: str
    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Node:
    """One version of something.

    Attributes:
        namespace: OpenLineage namespace of the dataset.
        name: OpenLineage name of the dataset.
        version: batch id, dataset version or model version.
        kind: BATCH, SNAPSHOT or MODEL.
        source: who delivered a batch.
        t_from: start of the interval in which a batch was collected.
        t_to: its end (excluded).
        received_at: when the version came to be known.
        signature: `lazaretto.values.SignatureStatus` of a batch.
        digest: of its content; on a snapshot it says that the members are known.
        rows: number of records.
        first_seq: ledger entry that made it.
    """

    namespace: str
    name: str
    version: str
    kind: str
    source: str | None = None
    t_from: datetime | None = None
    t_to: datetime | None = None
    received_at: datetime | None = None
    signature: str | None = None
    digest: str | None = None
    rows: int | None = None
    first_seq: int | None = None

    @property
    def key(self) -> NodeKey:
        """What makes it this node."""
        return NodeKey(self.namespace, self.name, self.version)


@dataclass(frozen=True, slots=True)
class Edge:
    """One run that made `dst` from `src`.

    Attributes:
        src: node id of what was read.
        dst: node id of what was written.
        run: OpenLineage run id.
        role: ADMITTED, RECALLED, LOST, or how a training used it.
        rows: records of `src` in `dst`.
    """

    src: int
    dst: int
    run: str
    role: str
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Writer:
    """Collects edges and writes nodes within one transaction of the catalog.

    Attributes:
        connection: of the transaction.
        edges: not yet written.
    """

    connection: Connection
    edges: list[Edge] = field(default_factory=list)

    def add(self, node: Node) -> int:
        """Writes a node that the ledger tells of, and returns its id.

        What the ledger said first stays; what it left open is filled in.
        """
        found = self._find(node)
        if found is None:
            return self._insert(node)
        values = {
            key: value
            for key, value in asdict(node).items()
            if value is not None and getattr(found, key) is None
        }
        if values:
            self.connection.execute(
                lineage_node.update().where(lineage_node.c.id == found.id).values(values)
            )
        return int(found.id)

    def batches(self, wanted: Mapping[str, Node]) -> list[int]:
        """Ids of the nodes of batches, in order.

        They are looked up by where this store would keep them, then by id alone (the store may
        have been opened by another path when they arrived).

        Args:
            wanted: by batch id, the node to write where there is none.
        """
        places: dict[tuple[str, str], list[str]] = {}
        for batch, node in wanted.items():
            places.setdefault((node.namespace, node.name), []).append(batch)
        found: dict[str, int] = {}
        for (namespace, name), group in places.items():
            here = (lineage_node.c.namespace == namespace) & (lineage_node.c.name == name)
            found |= self._ids(here, group)
        missing = [batch for batch in wanted if batch not in found]
        found |= self._ids(lineage_node.c.kind == "BATCH", missing)
        for batch in missing:
            if batch not in found:
                found[batch] = self._insert(wanted[batch])
        return [found[batch] for batch in wanted]

    def connect(self, edge: Edge) -> None:
        """Adds an edge; `flush` writes it."""
        self.edges.append(edge)

    def flush(self) -> int:
        """Writes the collected edges, and returns how many were new."""
        if not self.edges:
            return 0
        rows = [
            {
                "src": edge.src,
                "dst": edge.dst,
                "run": edge.run,
                "role": edge.role,
                "rows": edge.rows,
            }
            for edge in self.edges
        ]
        insert = upsert(self.connection, lineage_edge).on_conflict_do_nothing()
        counting = {"preserve_rowcount": True}
        new = self.connection.execute(insert, rows, execution_options=counting).rowcount
        self.edges.clear()
        return int(new)

    def _find(self, node: Node) -> Any:
        return self.connection.execute(
            sa.select(lineage_node).where(
                lineage_node.c.namespace == node.namespace,
                lineage_node.c.name == node.name,
                lineage_node.c.version == node.version,
            )
        ).one_or_none()

    def _insert(self, node: Node) -> int:
        result = self.connection.execute(lineage_node.insert().values(asdict(node)))
        return int(result.inserted_primary_key[0])  # type: ignore[index]

    def _ids(self, condition: sa.ColumnElement[bool], wanted: Sequence[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for chunk in _chunks(wanted):
            query = sa.select(lineage_node.c.version, lineage_node.c.id).where(
                condition, lineage_node.c.version.in_(chunk)
            )
            found |= {row.version: int(row.id) for row in self.connection.execute(query)}
        return found


def _chunks(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))
