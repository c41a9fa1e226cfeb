"""Which batches each version of an admitted dataset holds: what came and left, summed up."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from lazaretto.lineage.graph.told import ADMITTED, MEMBERSHIP
from lazaretto.storage.tables import lineage_edge, lineage_node

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlalchemy.engine import Connection, Row

BATCH = "BATCH"
SNAPSHOT = "SNAPSHOT"
MODEL = "MODEL"


class Dataset(NamedTuple):
    """An admitted dataset, as the index names it."""

    namespace: str
    name: str


class Change(NamedTuple):
    """Records of a batch that came or left with a version."""

    version: int
    batch: int
    rows: int


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
    """

    nodes: dict[int, Row[Any]] = field(default_factory=dict)
    changes: dict[Dataset, list[Change]] = field(default_factory=dict)
    uses: dict[int, list[Use]] = field(default_factory=dict)
    origins: dict[int, list[Use]] = field(default_factory=dict)
    by_dataset: dict[Dataset, list[Row[Any]]] = field(default_factory=dict)


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
        if edge.role in MEMBERSHIP:
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
    told: Told, batches: Collection[int] | None, absent: Collection[tuple[Dataset, int]] = ()
) -> dict[Dataset, Holding]:
    """What versions of each dataset hold of some batches.

    Args:
        told: the ledger's part of the graph.
        batches: ids of their nodes; None: all.
        absent: changes, by dataset and version, that do not bring what is looked for.
    """
    found = {}
    for dataset, changes in told.changes.items():
        mine = [c for c in changes if batches is None or c.batch in batches]
        if mine:
            found[dataset] = _holding(c for c in mine if (dataset, c.version) not in absent)
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
