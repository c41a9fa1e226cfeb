"""What to do about affected models: what to train anew, in which order, what to serve till then."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import RecordsRecalled
from lazaretto.lineage.claims.bits import Basis
from lazaretto.lineage.claims.reach import Steps, spread
from lazaretto.lineage.openlineage import naming
from lazaretto.lineage.trace.answer import RetrainStep
from lazaretto.lineage.trace.find import model_versions
from lazaretto.lineage.trace.holdings import Dataset
from lazaretto.lineage.trace.models import ordered
from lazaretto.storage.bulk import among
from lazaretto.storage.tables import lineage_link

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from lazaretto.lineage.trace.describe import Described
    from lazaretto.lineage.trace.walk import Reached
    from lazaretto.lineage.trace.world import World

_Model = tuple[str, str]


def retrain_plan(
    reached: Reached, described: Mapping[int, Described], exclude: Sequence[str]
) -> list[RetrainStep]:
    """What to do about each affected model, those first that others learned from.

    A version is only offered to roll back to where it is known not to be affected, now and by all
    that was recalled before.

    Args:
        reached: of `downstream`.
        described: what was surely reached.
        exclude: batches to leave out.
    """
    affected: dict[_Model, list[Described]] = {}
    for model in ordered(described.values()):
        affected.setdefault((model.namespace, model.name), []).append(model)
    if not affected:
        return []
    doubtful = reached.sure | reached.possible | reached.evaluated | condemned(reached.world)
    steps = []
    for order, key in enumerate(_in_order(reached, affected), start=1):
        versions = model_versions(reached.world, key[1], key[0])
        names = [model.version for model in affected[key]]
        clean = [version for version in versions if version.vertex not in doubtful]
        newest = versions[-1].version if versions else names[-1]
        steps.append(
            RetrainStep(
                order=order,
                model=key[1],
                registry=key[0],
                affected=names,
                newest=newest,
                retrain=newest in names,
                exclude=list(exclude),
                last_clean=clean[-1].version if clean else None,
            )
        )
    return steps


def condemned(world: World) -> set[int]:
    """Vertices of all that learned from records that were recalled later."""
    found: set[int] = set()
    for entry in entries(world.catalog, kinds=[RecordsRecalled.kind], checked=True):
        event = entry.event
        if not isinstance(event, RecordsRecalled):
            continue
        dataset = Dataset(*naming.admitted(world.root, event.dataset))
        ids = _ids(world, {member.batch for member in event.members})
        for snapshot, uses in world.told.uses.items():
            at = world.told.place(snapshot)
            held = set(world.told.members(world.whole, snapshot))
            if at[0] == dataset and at[1] < event.version and held & ids:
                found |= {world.vertex(use.model) for use in uses if use.role != "EVAL"}
        for joined in world.joined.get(dataset, ()):
            if joined.version is None or joined.version < event.version:
                found.add(joined.end)
    spread(world.catalog, sorted(found), known := set[int](), Steps(), most=Basis.POSSIBLE)
    return known


def _ids(world: World, batches: Collection[str]) -> set[int]:
    return {
        row.id
        for row in world.told.nodes.values()
        if row.kind == "BATCH" and row.version in batches
    }


def _in_order(reached: Reached, affected: Mapping[_Model, list[Described]]) -> list[_Model]:
    """Models that others learned from before those; else as they were registered."""
    models = {m.vertex: key for key, versions in affected.items() for m in versions}
    newest = {versions[-1].vertex for versions in affected.values()}
    before: dict[_Model, set[_Model]] = {key: set() for key in affected}
    onward = _onward(reached)
    for vertex in newest:
        for later in _nearest(onward, vertex, models):
            if models[later] != models[vertex]:
                before[models[later]].add(models[vertex])
    place = {key: number for number, key in enumerate(affected)}
    sorter = TopologicalSorter(before)
    try:
        sorter.prepare()
    except CycleError:  # versions that learned from each other in turns
        return list(affected)
    found: list[_Model] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=place.__getitem__)
        found += ready
        sorter.done(*ready)
    return found


def _onward(reached: Reached) -> dict[int, list[int]]:
    """Links between what is surely reached."""
    link = lineage_link.c
    query = sa.select(link.src, link.dst).where(
        among(reached.world.catalog, link.src, sorted(v for v in reached.sure if v > 0)),
        link.basis <= int(Basis.INFERRED),
    )
    found: dict[int, list[int]] = {}
    for src, dst in reached.world.catalog.execute(query):
        if dst in reached.sure:
            found.setdefault(src, []).append(dst)
    return found


def _nearest(
    onward: Mapping[int, list[int]], start: int, models: Mapping[int, _Model]
) -> Iterable[int]:
    """Models that were made of one, by way of no other."""
    seen, frontier = {start}, [start]
    while frontier:
        for end in onward.get(frontier.pop(), ()):
            if end not in seen:
                seen.add(end)
                if end in models:
                    yield end
                else:
                    frontier.append(end)
