"""Which batches each version of an admitted dataset holds: what came and left, summed up."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import sqlalchemy as sa

from lazaretto.lineage.graph.told import ADMITTED, LEFT_OUT, MEMBERSHIP, OF
from lazaretto.storage.tables import lineage_edge, lineage_node

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from sqlalchemy.engine import Connection, Row

BATCH = "BATCH"
SNAPSHOT = "SNAPSHOT"
MODEL = "MODEL"
VIEW = "VIEW"


class Dataset(NamedTuple):
    """An admitted dataset, as the index names it."""

    namespace: str
    name: str


class Change(NamedTuple):
    """Records of a batch that came or left with a version."""

    version: int
    batch: int
    rows: int


Parts: TypeAlias = "Mapping[int, Mapping[Dataset, list[Change]]]"
"""By batch of which only some records are in question: what came and left of those."""


class Use(NamedTuple):
    """A model version that learned from a version of a dataset."""

    snapshot: int
    model: int
    role: str
    rows: int | None


@dataclass(slots=True)
class Told:
    """The ledger's part of the graph.

    Attributes:
        nodes: its versions, by id.
        changes: by dataset, what came and left, in order.
        uses: models, by the id of the version that they learned from.
        origins: the same, by the id of the model.
        by_dataset: versions of each dataset, in order.
        without: by the id of a view, the batches that it leaves out of its snapshot.
        snapshots: by the id of a view, that of its snapshot.
    """

    nodes: dict[int, Row[Any]] = field(default_factory=dict)
    changes: dict[Dataset, list[Change]] = field(default_factory=dict)
    uses: dict[int, list[Use]] = field(default_factory=dict)
    origins: dict[int, list[Use]] = field(default_factory=dict)
    by_dataset: dict[Dataset, list[Row[Any]]] = field(default_factory=dict)
    without: dict[int, set[int]] = field(default_factory=dict)
    snapshots: dict[int, int] = field(default_factory=dict)

    def place(self, node: int) -> tuple[Dataset, int]:
        """The dataset, and the version of it, that a version or a view is of."""
        row = self.nodes[self.snapshots.get(node, node)]
        return Dataset(row.namespace, row.name), int(row.version)

    def count(self, held: Mapping[Dataset, Holding], node: int) -> int:
        """Records of what is held in a version or a view."""
        dataset, version = self.place(node)
        holding = held.get(dataset)
        if holding is None:
            return 0
        left_out = self.without.get(node, ())
        return holding.at(version) - sum(holding.of(batch, version) for batch in left_out)

    def members(self, held: Mapping[Dataset, Holding], node: int) -> list[int]:
        """Batches of what is held in a version or a view, those with the most records first."""
        dataset, version = self.place(node)
        found = held[dataset].batches(version) if dataset in held else []
        return [batch for batch in found if batch not in self.without.get(node, ())]


@dataclass(frozen=True, slots=True)
class Holding:
    """Some batches in the versions of one dataset.

    Attributes:
        versions: those with which something changed, in order.
        totals: records of all the batches from each of them on.
        counts: by batch, the same of it alone: versions, and records.
    """

    versions: list[int]
    totals: list[int]
    counts: dict[int, tuple[list[int], list[int]]]

    def at(self, version: int) -> int:
        """Records of all the batches in a version."""
        place = bisect_right(self.versions, version)
        return self.totals[place - 1] if place else 0

    def of(self, batch: int, version: int) -> int:
        """Records of one batch in a version."""
        versions, counts = self.counts.get(batch, ([], []))
        place = bisect_right(versions, version)
        return counts[place - 1] if place else 0

    def most(self, batch: int) -> int:
        """The most records of a batch that a version holds."""
        return max(self.counts.get(batch, ([], [0]))[1], default=0)

    def batches(self, version: int) -> list[int]:
        """Batches that a version holds, those with the most records first."""
        held = [(self.of(batch, version), batch) for batch in self.counts]
        return [batch for count, batch in sorted(held, key=lambda h: (-h[0], h[1])) if count > 0]


def read_told(connection: Connection) -> Told:
    """Reads the ledger's part of the graph, as the index has it.

    Args:
        connection: of the index (`lazaretto.lineage.graph.view.View.index`).
    """
    told = Told()
    for row in connection.execute(sa.select(lineage_node).order_by(lineage_node.c.id)):
        told.nodes[row.id] = row
        if row.kind == SNAPSHOT:
            name = Dataset(row.namespace, row.name)
            told.by_dataset.setdefault(name, []).append(row)
    for rows in told.by_dataset.values():
        rows.sort(key=lambda row: int(row.version))
    for edge in connection.execute(sa.select(lineage_edge)):
        made = told.nodes[edge.dst]
        if edge.role == LEFT_OUT:
            told.without.setdefault(edge.dst, set()).add(edge.src)
        elif edge.role == OF:
            told.snapshots[edge.dst] = edge.src
        elif edge.role in MEMBERSHIP:
            sign = 1 if edge.role == ADMITTED else -1
            change = Change(int(made.version), edge.src, sign * (edge.rows or 0))
            told.changes.setdefault(Dataset(made.namespace, made.name), []).append(change)
        else:
            use = Use(edge.src, edge.dst, edge.role, edge.rows)
            told.uses.setdefault(edge.src, []).append(use)
            told.origins.setdefault(edge.dst, []).append(use)
    for changes in told.changes.values():
        changes.sort()
    return told


def holdings(
    told: Told, batches: Collection[int] | None, parts: Parts | None = None
) -> dict[Dataset, Holding]:
    """What versions of each dataset hold of some batches.

    Args:
        told: the ledger's part of the graph.
        batches: ids of their nodes; None: all.
        parts: of some of them only a part counts.
    """
    parts = {} if parts is None else parts
    found = {}
    for dataset, changes in told.changes.items():
        mine = [c for c in changes if batches is None or c.batch in batches]
        if mine:
            counted = [change for change in mine if change.batch not in parts]
            for batch in {change.batch for change in mine} & parts.keys():
                counted += parts[batch].get(dataset, ())
            found[dataset] = _holding(sorted(counted))
    return found


def _holding(changes: Iterable[Change]) -> Holding:
    now: dict[int, int] = defaultdict(int)
    counts: dict[int, tuple[list[int], list[int]]] = {}
    versions: list[int] = []
    totals: list[int] = []
    total = 0
    for change in changes:
        before = max(0, now[change.batch])
        now[change.batch] += change.rows
        total += max(0, now[change.batch]) - before
        _put(*counts.setdefault(change.batch, ([], [])), change.version, max(0, now[change.batch]))
        _put(versions, totals, change.version, total)
    return Holding(versions, totals, counts)


def _put(versions: list[int], values: list[int], version: int, value: int) -> None:
    """The value from a version on."""
    if versions and versions[-1] == version:
        values[-1] = value
    else:
        versions.append(version)
        values.append(value)
