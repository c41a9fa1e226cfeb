"""Walks the lineage index: what a set of versions reached, or what one version was made of.

The recursion in the database carries ids alone, so that `UNION` removes repetitions: one more
column, such as a depth or a path, would make every way to a node a row of its own. It follows every
edge, and so finds too much: versions of a dataset that a batch had left again. Which of them hold
it is computed afterwards, and so are paths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.lineage.trace.membership import FEW, Held, Told, held, read_edges
from lazaretto.storage.tables import lineage_edge, lineage_node

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from datetime import datetime

    from sqlalchemy.engine import Connection, Row

    Ids = sa.Select[tuple[int]]

BATCH = "BATCH"


@dataclass(frozen=True, slots=True)
class Reached:
    """What was reached from a set of nodes.

    Attributes:
        start: ids of the nodes where it began.
        nodes: all nodes by id, the first ones included.
        edges: all edges between them but those from batches to versions of datasets that hold them.
        told: what those say.
        held: the versions in `nodes` that hold batches in `nodes`.
    """

    start: frozenset[int]
    nodes: dict[int, Row[Any]]
    edges: list[Row[Any]]
    told: Told
    held: Held

    @property
    def batches(self) -> list[int]:
        """Ids of the batches."""
        return [key for key, row in self.nodes.items() if row.kind == BATCH]


def window(source: str, since: datetime | None, until: datetime | None) -> Ids:
    """Selects the batches of a source that it collected within a window.

    Intervals are half-open. A batch without a collected interval counts by when it was received;
    one without any date always counts.
    """
    node = lineage_node.c
    end = sa.func.coalesce(node.t_to, node.received_at)
    undated = node.t_from.is_(None) & node.t_to.is_(None)
    collected, received = [~undated], [undated]
    if since is not None:
        # The second part lets an instant (from = to) count, which overlaps nothing.
        collected.append(end.is_(None) | (end > since) | (node.t_from >= since))
        received.append(node.received_at.is_(None) | (node.received_at >= since))
    if until is not None:
        collected.append(node.t_from.is_(None) | (node.t_from < until))
        received.append(node.received_at.is_(None) | (node.received_at < until))
    return sa.select(node.id).where(
        node.kind == "BATCH", node.source == source, sa.and_(*collected) | sa.and_(*received)
    )


def downstream(connection: Connection, start: Ids) -> Reached:
    """Everything that was made from the nodes that `start` selects."""
    edge = lineage_edge.c
    found = _Found.of(connection, start, edge.src, edge.dst)
    return _downstream(found, ())


def upstream(connection: Connection, start: Ids) -> Reached:
    """Everything that the nodes that `start` selects were made from."""
    edge = lineage_edge.c
    found = _Found.of(connection, start, edge.dst, edge.src)
    reached, holding = set(found.start), Held()
    fresh = set(found.start)
    batches = {key for key, row in found.nodes.items() if row.kind == BATCH}
    while fresh:
        reached |= _spread(fresh, found.back)
        holding = held(found.told, batches, versions=reached)
        fresh = holding.batches - reached
    return found.within(reached, holding)


def without(reached: Reached, versions: Collection[int]) -> Reached:
    """What is still reached, downstream, where what is traced turns out not to be everywhere.

    Args:
        reached: of `downstream`.
        versions: versions of datasets that do not have it, though the batch is in them; nor have
            those that build on them and do not name the batch again.
    """
    return _downstream(_Found(reached.start, reached.nodes, reached.told, reached.edges), versions)


def direct(reached: Reached) -> list[int]:
    """What one of the nodes of the start went into by an edge of its own, in order."""
    found = {edge.dst for edge in reached.edges if edge.src in reached.start}
    for side in (reached.told.admitted, reached.told.said):
        for version, named in side.items():
            if any(rows != 0 and batch in reached.start for batch, rows in named.items()):
                found.add(version)
    return sorted(found & reached.nodes.keys())


def paths(
    reached: Reached, ends: Collection[int], *, limit: int, forward: bool = True
) -> dict[int, list[list[int]]]:
    """At most `limit` paths from the start to each of `ends`, the shortest among them.

    From a batch a path goes to the version of the dataset that something learned from, whichever
    earlier one that is told by.

    Args:
        reached: of `downstream` or, with `forward` off, of `upstream`.
        ends: node ids.
        limit: paths per end.
        forward: whether edges are followed from `src` to `dst`.

    Returns:
        Per end its paths, each from a start to the end; none where it was not reached.
    """
    inside = reached.held.some
    if not forward:
        inside = held(reached.told, ends, versions=reached.nodes, few=len(ends)).some
    ways = [(batch, version) for version, some in inside.items() for batch in some]
    ways += [(edge.src, edge.dst) for edge in reached.edges]
    parents = _parents(reached.start, ways if forward else [(dst, src) for src, dst in ways])
    return {end: list(_take(_back(end, parents, reached.start), limit)) for end in ends}


@dataclass(frozen=True, slots=True)
class _Found:
    """What the database found, which may be too much."""

    start: frozenset[int]
    nodes: dict[int, Row[Any]]
    told: Told
    edges: list[Row[Any]]

    @classmethod
    def of(cls, connection: Connection, start: Ids, near: Any, far: Any) -> _Found:
        """Follows every edge, from `near` to `far`."""
        reach = start.cte("reach", recursive=True)
        reach = reach.union(sa.select(far).where(near == reach.c.id))
        nodes = sa.select(lineage_node).join(reach, reach.c.id == lineage_node.c.id)
        edges = sa.select(lineage_edge).join(reach, reach.c.id == near)
        rows = {row.id: row for row in connection.execute(nodes)}
        told, others = read_edges(connection.execute(edges))
        return cls(frozenset(connection.scalars(start)), rows, told, others)

    @property
    def back(self) -> dict[int, list[int]]:
        """What each node was made from, but for batches in versions of datasets."""
        found: dict[int, list[int]] = {}
        for edge in self.edges:
            found.setdefault(edge.dst, []).append(edge.src)
        return found

    def within(self, reached: set[int], holding: Held) -> Reached:
        """What is left of it."""
        return Reached(
            self.start,
            {key: row for key, row in self.nodes.items() if key in reached},
            [edge for edge in self.edges if edge.src in reached and edge.dst in reached],
            self.told,
            holding,
        )


def _downstream(found: _Found, absent: Collection[int]) -> Reached:
    """What follows from the start, by edges and by way of versions that hold what was reached."""
    onward: dict[int, list[int]] = {}
    for edge in found.edges:
        if edge.dst not in absent:
            onward.setdefault(edge.src, []).append(edge.dst)
    reached, holding = set[int](), Held()
    fresh = set(found.start)
    while fresh:
        new = _spread(fresh, onward)
        reached |= new
        if not holding.rows or any(found.nodes[key].kind == BATCH for key in new):
            holding = held(found.told, reached, without=absent)
        fresh = holding.rows.keys() - reached
    return found.within(reached, holding)


def _spread(start: set[int], onward: dict[int, list[int]]) -> set[int]:
    """The nodes of the start, and all that follow."""
    kept, frontier = set(start), list(start)
    while frontier:
        new = [far for far in onward.get(frontier.pop(), ()) if far not in kept]
        kept.update(new)
        frontier += new
    return kept


def _parents(start: frozenset[int], ways: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    """Breadth-first tree with a few more parents per node, the nearest first."""
    children: dict[int, set[int]] = {}
    for near, far in ways:
        children.setdefault(near, set()).add(far)
    depth = dict.fromkeys(start, 0)
    parents: dict[int, list[int]] = {}
    frontier = sorted(start)
    while frontier:
        following: list[int] = []
        for near in frontier:
            for far in sorted(children.get(near, ())):
                if far not in depth:
                    depth[far] = depth[near] + 1
                    following.append(far)
                # Only towards the start: a path can then never run in a circle.
                if depth[far] > depth[near] and len(parents.setdefault(far, [])) < FEW:
                    parents[far].append(near)
        frontier = following
    return parents


def _back(end: int, parents: dict[int, list[int]], start: frozenset[int]) -> Iterator[list[int]]:
    stack = [[end]]
    while stack:
        path = stack.pop()
        if path[-1] in start:
            yield path[::-1]
        stack += [[*path, parent] for parent in reversed(parents.get(path[-1], ()))]


def _take(found: Iterator[list[int]], limit: int) -> Iterator[list[int]]:
    for _, path in zip(range(limit), found, strict=False):
        yield path
