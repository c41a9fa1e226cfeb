"""One view of all that a trace follows: the ledger's graph, and where claims join it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from lazaretto.lineage.claims.bits import Kind, version_end
from lazaretto.lineage.claims.names import STORE, Names, registry
from lazaretto.lineage.trace.holdings import (
    BATCH,
    MODEL,
    Dataset,
    Holding,
    Told,
    holdings,
    read_told,
)
from lazaretto.storage.tables import lineage_name, lineage_version

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from lazaretto.lineage.graph.view import View


class Joined(NamedTuple):
    """A version of an admitted dataset that claims name.

    Attributes:
        end: of links.
        version: its number; None: it is none, and the ledger cannot know it.
    """

    end: int
    version: int | None


@dataclass(slots=True)
class World:
    """What a trace follows. A *vertex* is an end of links, or minus the id of a ledger's node.

    Attributes:
        catalog: connection of the catalog, where claims are.
        root: root of the store.
        told: the ledger's graph.
        vertices: by id of a ledger's node, the vertex that it is.
        nodes: by vertex, the id of the ledger's node.
        joined: by dataset, its versions that claims name.
        datasets: by vertex of such a version, the dataset and the version.
        batches: by vertex of a batch, the id of the ledger's node.
    """

    catalog: Connection
    root: str
    told: Told
    vertices: dict[int, int] = field(default_factory=dict)
    nodes: dict[int, int] = field(default_factory=dict)
    joined: dict[Dataset, list[Joined]] = field(default_factory=dict)
    datasets: dict[int, tuple[Dataset, int | None]] = field(default_factory=dict)
    batches: dict[int, int] = field(default_factory=dict)
    _whole: dict[Dataset, Holding] | None = field(default=None, init=False, repr=False)

    @property
    def whole(self) -> dict[Dataset, Holding]:
        """What versions of each dataset hold of all batches: summed up once."""
        if self._whole is None:
            self._whole = holdings(self.told, None)
        return self._whole

    def vertex(self, node: int) -> int:
        """The vertex of a ledger's node."""
        return self.vertices.get(node, -node)

    def node(self, vertex: int) -> Any:
        """The ledger's node that a vertex is; None: claims alone tell of it."""
        return self.told.nodes.get(self.nodes.get(vertex, -vertex))


def read_world(view: View, store_root: str) -> World:
    """Reads the ledger's graph, and where claims join it.

    Args:
        view: what was checked.
        store_root: root of the store.
    """
    world = World(view.catalog, store_root, read_told(view.index))
    spell = Names(store_root)
    batches: dict[str, int] = {}
    datasets = {dataset.name.rsplit("/", 1)[-1]: dataset for dataset in world.told.by_dataset}
    numbered = {
        (dataset, row.version): row.id
        for dataset, rows in world.told.by_dataset.items()
        for row in rows
    }
    name, version = lineage_name.c, lineage_version.c
    query = (
        sa.select(version.id, version.version, name.name)
        .join(lineage_name, name.id == version.name)
        .where(name.namespace == STORE, version.kinds.bitwise_and(int(Kind.HIDDEN)) == 0)
    )
    for row in view.catalog.execute(query):
        folder, _, rest = row.name.partition("/")
        if folder == "batches" and "/" not in rest:
            batches[row.version] = version_end(row.id)
        elif folder == "datasets" and rest in datasets:
            text = row.version
            number = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
            end = version_end(row.id)
            world.joined.setdefault(datasets[rest], []).append(Joined(end, number))
            world.datasets[end] = datasets[rest], number
            if (same := numbered.get((datasets[rest], text))) is not None:
                world.nodes[end] = same
    models = _models(view.catalog)
    for node in world.told.nodes.values():
        at: int | None = None
        if node.kind == BATCH:
            at = batches.get(node.version)
        elif node.kind == MODEL:
            key = spell.spell(registry(node.namespace), node.name)
            at = models.get((key.namespace, key.name, node.version))
        if at is not None:
            world.vertices[node.id] = at
            world.nodes[at] = node.id
        if node.kind == BATCH:
            world.batches[world.vertex(node.id)] = node.id
    return world


def _models(connection: Connection) -> dict[tuple[str, str, str], int]:
    """Model versions that the ledger tells of, by name; the ends of links that they are."""
    name, version = lineage_name.c, lineage_version.c
    query = (
        sa.select(name.namespace, name.name, version.version, version.id)
        .join(lineage_name, name.id == version.name)
        .where(version.kinds.bitwise_and(int(Kind.MODEL)) != 0)
    )
    return {
        (row.namespace, row.name, row.version): version_end(row.id)
        for row in connection.execute(query)
    }
