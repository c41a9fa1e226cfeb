"""The versions of datasets in an answer, and what a model was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.lineage.trace.answer import TracedSnapshot
from lazaretto.lineage.trace.describe import Described, describe
from lazaretto.lineage.trace.holdings import SNAPSHOT, Dataset, holdings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lazaretto.lineage.trace.walk import Reached


def snapshots_of(reached: Reached, described: Mapping[int, Described]) -> list[TracedSnapshot]:
    """Dataset versions of an answer, in order of their making.

    Of an admitted dataset they are those of which a snapshot was taken, or that something is known
    to have read.
    """
    world = reached.world
    found = {what.vertex: what for what in described.values() if what.kind == SNAPSHOT}
    rows: dict[int, int] = {}
    for dataset, holding in reached.held.items():
        for row in world.told.by_dataset[dataset]:
            held = holding.at(int(row.version))
            if held and (row.digest is not None or row.id in world.told.uses):
                rows[-row.id] = held
    found |= describe(world, rows)
    once = {(what.namespace, what.name, what.version): what for what in found.values()}
    shown = list(once.values())
    shown.sort(key=lambda what: (what.at.timestamp() if what.at else 0.0, what.vertex))
    return [
        TracedSnapshot(
            id=what.label,
            namespace=what.namespace,
            name=what.name,
            version=what.version,
            rows=what.rows,
            tainted_rows=rows.get(what.vertex) or _tainted(reached, what),
            members_known=what.ours,
        )
        for what in shown
    ]


def made_from(reached: Reached) -> dict[int, int]:
    """Records of each batch in what a model was made of, by vertex: the most in one version."""
    world = reached.world
    whole = holdings(world.told, None)
    found: dict[int, int] = {}
    for vertex in reached.sure:
        place = world.datasets.get(vertex)
        row = world.node(vertex)
        if row is not None and row.kind == SNAPSHOT:
            place = Dataset(row.namespace, row.name), int(row.version)
        if place is None or place[0] not in whole or place[1] is None:
            continue
        holding, version = whole[place[0]], place[1]
        for batch in holding.batches(version):
            key = world.vertex(batch)
            found[key] = max(found.get(key, 0), holding.of(batch, version))
    return found


def _tainted(reached: Reached, what: Described) -> int | None:
    """Records in question in a version of an admitted dataset; None: it is not known."""
    place = reached.world.datasets.get(what.vertex)
    if place is None or place[1] is None or place[0] not in reached.held:
        return None
    return reached.held[place[0]].at(place[1])
