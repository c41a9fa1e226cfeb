"""Walks the graph: what batches reached, for sure and possibly.

Two kinds of step alternate until nothing new is found: along links of claims
(`lazaretto.lineage.claims.reach`), and by what the ledger tells: from batches to the versions of
admitted datasets that hold them, and to the models that were registered on those.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lazaretto.lineage.claims.bits import Basis, Gap, Why
from lazaretto.lineage.claims.gaps import holes
from lazaretto.lineage.claims.reach import (
    FEW,
    Step,
    Steps,
    measured,
    one_of,
    outputs,
    spread,
)
from lazaretto.lineage.trace.holdings import Dataset, Holding, holdings

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
        parts: batches of which only some records are in question.
        snapshots: versions of admitted datasets that are in question themselves.
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
    parts: Parts | None = None
    snapshots: tuple[tuple[Dataset, int], ...] = ()


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
    reached = Reached(world, frozenset(start), without=frozenset(without), parts=parts)
    reached.snapshots = tuple(snapshots)
    _surely(reached)
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


def _surely(reached: Reached) -> None:
    """Follows what is known or follows, from where it begins."""
    reached.sure |= reached.without  # what is reached already is not followed
    seeds = [*reached.start, *_uses_of(reached, reached.snapshots)]
    while True:
        reached.held = _onward(reached, seeds, reached.sure, Basis.INFERRED, reached.parts)
        seeds = list(_in_each(reached))
        if not seeds:
            return


def _in_each(reached: Reached) -> Iterator[int]:
    """What read one of several versions, not known which, where each of them is reached."""
    known = reached.sure - reached.without
    for end, versions in one_of(reached.world.catalog, known):
        if end not in reached.sure and known.issuperset(versions):
            for version in versions[:FEW]:
                reached.steps.note(end, Step(version, Basis.INFERRED, Why.ONE_OF))
            yield end


def ahead_of(reached: Reached, ends: Collection[int]) -> Reached:
    """What is surely reached, but not by way of some ends.

    Args:
        reached: of `downstream`.
        ends: vertices that are not passed.
    """
    without = reached.without | frozenset(ends)
    found = Reached(reached.world, reached.start, without=without, parts=reached.parts)
    found.snapshots = reached.snapshots
    _surely(found)
    found.sure -= without
    return found


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
        further(reached, again, known, most)
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


def further(
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
                    if use.role != "EVAL":
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
        asked = world.told.place(snapshot) in reached.snapshots
        if asked or world.told.count(reached.held, snapshot):
            found |= {world.vertex(use.model) for use in uses if use.role == "EVAL"}
    reached.evaluated = found - reached.sure - reached.possible


def _batches(world: World, vertices: Iterable[int]) -> set[int]:
    found = vertices if isinstance(vertices, set) else set(vertices)
    return {world.batches[vertex] for vertex in world.batches.keys() & found}
