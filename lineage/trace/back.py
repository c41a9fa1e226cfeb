"""Walks the graph back: what a model was made of, for sure and possibly."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from lazaretto.lineage.claims.bits import Basis, Gap, Why
from lazaretto.lineage.claims.gaps import begun_before, holes, last_end, last_registered
from lazaretto.lineage.claims.reach import Step, appended, one_of, spread
from lazaretto.lineage.claims.timeline import TOLERANCE
from lazaretto.lineage.trace.holdings import BATCH, MODEL
from lazaretto.lineage.trace.walk import Reached, further

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from lazaretto.lineage.claims.gaps import Hole
    from lazaretto.lineage.trace.world import World

_MOST = 200
"""Ends that read one of several versions, and are looked behind: what more of them read, may be."""


def upstream(world: World, model: int) -> Reached:
    """Follows a model to all that it was made of.

    Args:
        world: what to walk.
        model: vertex of the model.
    """
    reached = Reached(world, frozenset([model]))
    _back(reached, [model], reached.sure, Basis.INFERRED)
    while more := _in_each(reached):
        _back(reached, more, reached.sure, Basis.INFERRED)
    everything = set(reached.sure)
    _back(reached, [model], everything, Basis.POSSIBLE, again=reached.sure)
    reached.possible = everything - reached.sure
    found = holes(world.catalog, world.root, nodes=everything)
    reached.holes = {hole.node: hole for hole in found if hole.kind != Gap.OPEN_RUN}
    reached.holes |= {hole.node: hole for hole in _hidden(reached)}
    return reached


def behind(world: World, model: int, others: Collection[int]) -> set[int]:
    """What a model surely learned from, but not by way of others.

    Args:
        world: what to walk.
        model: vertex of the model.
        others: vertices that are not passed.
    """
    known = set(others)  # nothing is asked about: what only measured the model is left out
    without = frozenset(others)
    _back(Reached(world, frozenset(), without=without), [model], known, Basis.INFERRED)
    return known - set(others)


def has_members(world: World, vertex: int) -> bool:
    """Whether a vertex is a version of an admitted dataset that holds batches."""
    return bool(_members(world, vertex))


def _in_each(reached: Reached) -> set[int]:
    """What is behind each of several versions, of which one was read: that was read for sure."""
    new: set[int] = set()
    for end, versions in islice(one_of(reached.world.catalog, reached.sure, forward=False), _MOST):
        behind = [Reached(reached.world, frozenset()) for _ in versions]
        common: set[int] = set()
        for version, its in zip(versions, behind, strict=True):
            _back(its, [version], its.sure, Basis.INFERRED)
            common = its.sure if version == versions[0] else common & its.sure
            if common <= reached.sure:
                break
        else:
            # The way that is told leads through the first of the versions.
            reached.steps.note(versions[0], Step(end, Basis.INFERRED, Why.ONE_OF))
            for vertex, ways in behind[0].steps.few.items():
                for step in ways:
                    reached.steps.note(vertex, step)
            new |= common - reached.sure
    return new


def _hidden(reached: Reached) -> list[Hole]:
    """Open runs that may have written, unseen, what a model was made of, or the model.

    Where events and ledger name every version on its way, and each was made anew, there is nothing
    that they could have added to. A model that a person or task registered, and of which no event
    says which run made it, may be that of a training whose end was lost.
    """
    world = reached.world
    opened = holes(world.catalog, world.root, kinds=[Gap.OPEN_RUN])
    if not opened:
        return []
    named = (Basis.KNOWN, Basis.MEASURED)
    everything = reached.sure | reached.possible
    runs = [hole.node // 2 for hole in opened]
    registered = last_registered(world.catalog, everything) + TOLERANCE
    begun = begun_before(world.catalog, runs, registered, training=True)
    ways = (step for vertex in everything for step in reached.steps.into(vertex))
    if any(step.basis not in named for step in ways) or appended(world.catalog, everything):
        on_the_way = [vertex // 2 for vertex in everything if vertex > 0 and vertex % 2]
        last = last_end(world.catalog, on_the_way) + TOLERANCE
        begun |= begun_before(world.catalog, runs, last)
    return [hole for hole in opened if hole.node // 2 in begun]


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
        further(reached, again, known, most, forward=False)
    spread(world.catalog, seeds, known, steps, most=most, forward=False)
    done = set(reached.without)
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
