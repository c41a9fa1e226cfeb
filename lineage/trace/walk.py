"""Walks the graph: what batches reached, or what a model was made of, for sure and possibly.

Two kinds of step alternate until nothing new is found: along links of claims
(`lazaretto.lineage.claims.reach`), and by what the ledger tells: from batches to the versions of
admitted datasets that hold them, and to the models that were registered on those.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lazaretto.lineage.claims.bits import Basis, Gap, Why
from lazaretto.lineage.claims.gaps import begun_before, holes, last_end
from lazaretto.lineage.claims.reach import FEW, Step, Steps, appended, measured, outputs, spread
from lazaretto.lineage.claims.timeline import TOLERANCE
from lazaretto.lineage.trace.holdings import BATCH, MODEL, Dataset, Holding, holdings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from lazaretto.lineage.claims.gaps import Hole
    from lazaretto.lineage.trace.holdings import Parts
    from lazaretto.lineage.trace.world import World


@dataclass(slots=True)
class Reached:
    """What was reached.

    Attributes:
        world: what was walked.
        start: where it began.
        sure: vertices that are reached by what is known or follows.
        possible: all others that may be.
        steps: a few ways into each vertex.
        held: by dataset, what its versions hold of the batches that are surely reached.
        evaluated: model vertices that were only measured with what is reached.
        holes: gaps that may hold what is in question, by vertex.
        open_runs: runs that read what is reached, and whose output nobody told.
        without: vertices that are taken as if they had never been.
    """

    world: World
    start: frozenset[int]
    sure: set[int] = field(default_factory=set)
    possible: set[int] = field(default_factory=set)
    steps: Steps = field(default_factory=Steps)
    held: dict[Dataset, Holding] = field(default_factory=dict)
    evaluated: set[int] = field(default_factory=set)
    holes: dict[int, Hole] = field(default_factory=dict)
    open_runs: list[Hole] = field(default_factory=list)
    without: frozenset[int] = frozenset()


def downstream(
    world: World,
    start: Collection[int],
    *,
    arrived: int | None,
    parts: Parts | None = None,
    snapshots: Collection[tuple[Dataset, int]] = (),
    without: Collection[int] = (),
) -> Reached:
    """Follows vertices to all that was made of them.

    Args:
        world: what to walk.
        start: vertices.
        arrived: when the first of what is in question arrived, in microseconds; None: not known.
        parts: batches of which only some records are in question.
        snapshots: versions of admitted datasets that are in question themselves.
        without: vertices that are taken as if they had never been: nothing is reached through them.
    """
    reached = Reached(world, frozenset(start), without=frozenset(without))
    reached.sure |= reached.without  # what is reached already is not followed
    seeds = [*start, *_uses_of(reached, snapshots)]
    reached.held = _onward(reached, seeds, reached.sure, Basis.INFERRED, parts)
    nothing = bool(without) and not start  # all that is in question is left out
    relevant = [] if nothing else holes(world.catalog, world.root, since=arrived)
    gaps = (hole for hole in relevant if hole.node not in reached.without)
    reached.holes = {hole.node: hole for hole in gaps if hole.kind != Gap.OPEN_RUN}
    everything = set(reached.sure)
    _onward(reached, reached.holes, everything, Basis.POSSIBLE, parts, again=reached.sure)
    reached.possible = everything - reached.sure
    reached.sure -= reached.without
    opened = (hole for hole in relevant if hole.kind == Gap.OPEN_RUN)
    reached.open_runs = [hole for hole in opened if hole.node in everything]
    _measured(reached)
    return reached


def upstream(world: World, model: int) -> Reached:
    """Follows a model to all that it was made of.

    Args:
        world: what to walk.
        model: vertex of the model.
    """
    reached = Reached(world, frozenset([model]))
    _back(reached, [model], reached.sure, Basis.INFERRED)
    everything = set(reached.sure)
    _back(reached, [model], everything, Basis.POSSIBLE, again=reached.sure)
    reached.possible = everything - reached.sure
    found = holes(world.catalog, world.root, nodes=everything)
    reached.holes = {hole.node: hole for hole in found if hole.kind != Gap.OPEN_RUN}
    reached.holes |= {hole.node: hole for hole in _hidden(reached)}
    return reached


def _hidden(reached: Reached) -> list[Hole]:
    """Open runs that may have written, unseen, what a model was made of.

    Where events and ledger name every version on its way, and each was made anew, there is nothing
    that they could have added.
    """
    world = reached.world
    named = (Basis.KNOWN, Basis.MEASURED)
    everything = reached.sure | reached.possible
    ways = (step for vertex in everything for step in reached.steps.into(vertex))
    if all(step.basis in named for step in ways) and not appended(world.catalog, everything):
        return []
    runs = [vertex // 2 for vertex in everything if vertex > 0 and vertex % 2]
    last = last_end(world.catalog, runs)
    opened = holes(world.catalog, world.root, kinds=[Gap.OPEN_RUN])
    begun = begun_before(world.catalog, [hole.node // 2 for hole in opened], last + TOLERANCE)
    return [hole for hole in opened if hole.node // 2 in begun]


def _onward(
    reached: Reached,
    seeds: Iterable[int],
    known: set[int],
    most: Basis,
    parts: Parts | None,
    *,
    again: Collection[int] = (),
) -> dict[Dataset, Holding]:
    """Follows links and holdings until nothing new is found; what versions hold in the end."""
    world = reached.world
    if again:  # by links of a higher basis there is more to find behind what is known
        _behind(reached, again, known, most)
    spread(world.catalog, seeds, known, reached.steps, most=most)
    held: dict[Dataset, Holding] = {}
    counted: set[int] = set()
    while True:
        batches = _batches(world, known - reached.without if reached.without else known)
        if batches != counted:
            counted = batches
            held = holdings(world.told, batches, parts)
        new = [vertex for vertex in _holders(reached, held, most) if vertex not in known]
        if not new:
            return held
        spread(world.catalog, new, known, reached.steps, most=most)


def _behind(
    reached: Reached,
    again: Collection[int],
    known: set[int],
    most: Basis,
    *,
    forward: bool = True,
) -> None:
    """What links of a higher basis lead to from what is known already."""
    steps = Steps()
    seen, start = set(reached.without), set(again) - reached.without
    catalog = reached.world.catalog
    new = spread(catalog, start, seen, steps, most=most, forward=forward) - known
    known |= new
    reached.steps.many += steps.many
    reached.steps.few |= {end: ways for end, ways in steps.few.items() if end in new}


def _holders(reached: Reached, held: dict[Dataset, Holding], most: Basis) -> Iterator[int]:
    """Vertices of what learned from, or is, a version that holds a batch that is reached."""
    world = reached.world
    for snapshot, uses in world.told.uses.items():
        if world.told.count(held, snapshot):
            source = _version_step(reached, world.told.members(held, snapshot), -snapshot)
            for use in uses:
                if use.role != "EVAL":
                    vertex = world.vertex(use.model)
                    reached.steps.note(vertex, Step(source, Basis.KNOWN, Why.NAMED))
                    yield vertex
    for dataset, holding in held.items():
        newest = int(world.told.by_dataset[dataset][-1].version)
        for joined in world.joined.get(dataset, ()):
            sure = joined.version is not None and joined.version <= newest
            version = joined.version if sure and joined.version is not None else newest
            holds = holding.at(version) if sure else holding.versions
            if holds and (sure or most is Basis.POSSIBLE):
                _version_step(reached, holding.batches(version), joined.end)
                yield joined.end


def _version_step(reached: Reached, batches: list[int], vertex: int) -> int:
    """Notes the way from batches into a version of an admitted dataset."""
    if not reached.steps.into(vertex):
        for batch in batches[:FEW]:
            step = Step(reached.world.vertex(batch), Basis.KNOWN, Why.NAMED)
            reached.steps.note(vertex, step)
    return vertex


def _uses_of(reached: Reached, snapshots: Collection[tuple[Dataset, int]]) -> Iterator[int]:
    """What learned from versions of admitted datasets that are in question themselves."""
    world = reached.world
    for dataset, version in snapshots:
        for snapshot, uses in world.told.uses.items():
            if world.told.place(snapshot) == (dataset, version):
                for use in uses:
                    vertex = world.vertex(use.model)
                    reached.steps.note(vertex, Step(-snapshot, Basis.KNOWN, Why.NAMED))
                    yield vertex
        for joined in world.joined.get(dataset, ()):
            if joined.version == version:
                yield joined.end


def _measured(reached: Reached) -> None:
    """Models that were only measured with what is reached."""
    world = reached.world
    runs = measured(world.catalog, reached.sure) - reached.sure - reached.possible
    found = outputs(world.catalog, runs)
    for snapshot, uses in world.told.uses.items():
        if world.told.count(reached.held, snapshot):
            found |= {world.vertex(use.model) for use in uses if use.role == "EVAL"}
    reached.evaluated = found - reached.sure - reached.possible


def _back(
    reached: Reached,
    seeds: Iterable[int],
    known: set[int],
    most: Basis,
    *,
    again: Collection[int] = (),
) -> None:
    world = reached.world
    steps = reached.steps
    if again:
        _behind(reached, again, known, most, forward=False)
    spread(world.catalog, seeds, known, steps, most=most, forward=False)
    done: set[int] = set()
    while fresh := known - done:
        done |= fresh
        found = list(_origins(reached, fresh))
        spread(world.catalog, found, known, steps, most=most, forward=False)


def _origins(reached: Reached, vertices: Iterable[int]) -> Iterator[int]:
    """What the ledger tells that some vertices were made of."""
    world = reached.world
    for vertex in vertices:
        row = world.node(vertex)
        if row is not None and row.kind == MODEL:
            for use in world.told.origins.get(row.id, ()):
                if use.role != "EVAL" or vertex in reached.start:
                    reached.steps.note(-use.snapshot, Step(vertex, Basis.KNOWN, Why.NAMED))
                    yield -use.snapshot
            continue
        for batch in _members(world, vertex):
            origin = world.vertex(batch)
            reached.steps.note(origin, Step(vertex, Basis.KNOWN, Why.NAMED))
            yield origin


def _members(world: World, vertex: int) -> list[int]:
    """Batches of a version of an admitted dataset; of one that is not known, of the newest."""
    row = world.node(vertex)
    if row is not None:
        return [] if row.kind == BATCH else world.told.members(world.whole, row.id)
    dataset, version = world.datasets.get(vertex, (None, None))
    if dataset is None or dataset not in world.whole:
        return []
    newest = int(world.told.by_dataset[dataset][-1].version)
    return world.whole[dataset].batches(newest if version is None else version)


def _batches(world: World, vertices: Iterable[int]) -> set[int]:
    found = vertices if isinstance(vertices, set) else set(vertices)
    return {world.batches[vertex] for vertex in world.batches.keys() & found}
