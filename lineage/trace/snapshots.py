"""The versions of datasets in an answer, and what a model was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.lineage.trace.answer import TracedSnapshot
from lazaretto.lineage.trace.describe import Described, describe
from lazaretto.lineage.trace.holdings import SNAPSHOT, VIEW

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lazaretto.lineage.trace.walk import Reached


def snapshots_of(reached: Reached, described: Mapping[int, Described]) -> list[TracedSnapshot]:
    """Dataset versions of an answer, in order of their making.

    Of an admitted dataset they are those of which a snapshot was taken, or that something is known
    to have read.
    """
    world = reached.world
    found = {what.vertex: what for what in described.values() if what.kind in (SNAPSHOT, VIEW)}
    rows: dict[int, int] = {}
    for row in world.told.nodes.values():
        if row.kind in (SNAPSHOT, VIEW) and (row.digest is not None or row.id in world.told.uses):
            held = world.told.count(reached.held, row.id)
            if held > 0:
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
    whole = world.whole
    found: dict[int, int] = {}
    for vertex in reached.sure:
        row = world.node(vertex)
        dataset, version = world.datasets.get(vertex, (None, None))
        batches: list[int] = []
        if row is not None and row.kind in (SNAPSHOT, VIEW):
            dataset, version = world.told.place(row.id)
            batches = world.told.members(whole, row.id)
        elif dataset is not None and version is not None and dataset in whole:
            batches = whole[dataset].batches(version)
        for batch in batches:
            if dataset is not None and version is not None:
                key = world.vertex(batch)
                found[key] = max(found.get(key, 0), whole[dataset].of(batch, version))
    return found


def _tainted(reached: Reached, what: Described) -> int | None:
    """Records in question in a version of an admitted dataset; None: it is not known."""
    place = reached.world.datasets.get(what.vertex)
    if place is None or place[1] is None or place[0] not in reached.held:
        return None
    return reached.held[place[0]].at(place[1])
