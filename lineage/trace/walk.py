"""Walks the lineage index: what a set of versions reached, or what one version was made of.

The recursion carries ids alone, so that `UNION` removes repetitions: one more column, such as a
depth or a path, would make every way to a node a row of its own. Paths are found afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.storage.tables import lineage_edge, lineage_node

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from sqlalchemy.engine import Connection, Row

    Ids = sa.Select[tuple[int]]

_PARENTS = 8  # kept per node and set of paths; enough for the few paths that are shown


@dataclass(frozen=True, slots=True)
class Reached:
    """What was reached from a set of nodes.

    Attributes:
        start: ids of the nodes where it began.
        nodes: all nodes by id, the first ones included.
        edges: all edges between them.
    """

    start: frozenset[int]
    nodes: dict[int, Row[Any]]
    edges: list[Row[Any]]


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
    return _walk(connection, start, lineage_edge.c.src, lineage_edge.c.dst)


def upstream(connection: Connection, start: Ids) -> Reached:
    """Everything that the nodes that `start` selects were made from."""
    return _walk(connection, start, lineage_edge.c.dst, lineage_edge.c.src)


def paths(
    reached: Reached, ends: Collection[int], *, limit: int, forward: bool = True
) -> dict[int, list[list[int]]]:
    """At most `limit` paths from the start to each of `ends`, the shortest among them.

    Args:
        reached: of `downstream` or, with `forward` off, of `upstream`.
        ends: node ids.
        limit: paths per end.
        forward: whether edges are followed from `src` to `dst`.

    Returns:
        Per end its paths, each from a start to the end; none where it was not reached.
    """
    parents = _parents(reached, forward=forward)
    return {end: list(_take(_back(end, parents, reached.start), limit)) for end in ends}


def without(reached: Reached, nodes: Collection[int]) -> Reached:
    """What is still reached, downstream, when some nodes turn out not to hold what is traced."""
    children: dict[int, list[int]] = {}
    for edge in reached.edges:
        if edge.dst not in nodes:
            children.setdefault(edge.src, []).append(edge.dst)
    kept, frontier = set(reached.start), list(reached.start)
    while frontier:
        new = [dst for dst in children.get(frontier.pop(), ()) if dst not in kept]
        kept.update(new)
        frontier += new
    return Reached(
        start=reached.start,
        nodes={key: row for key, row in reached.nodes.items() if key in kept},
        edges=[edge for edge in reached.edges if edge.src in kept and edge.dst in kept],
    )


def _walk(connection: Connection, start: Ids, near: Any, far: Any) -> Reached:
    reach = start.cte("reach", recursive=True)
    reach = reach.union(sa.select(far).where(near == reach.c.id))
    nodes = sa.select(lineage_node).join(reach, reach.c.id == lineage_node.c.id)
    edges = sa.select(lineage_edge).join(reach, reach.c.id == near)
    return Reached(
        start=frozenset(connection.scalars(start)),
        nodes={row.id: row for row in connection.execute(nodes)},
        edges=list(connection.execute(edges)),
    )


def _parents(reached: Reached, *, forward: bool) -> dict[int, list[int]]:
    """Breadth-first tree with a few more parents per node, the nearest first."""
    children: dict[int, set[int]] = {}
    for edge in reached.edges:
        near, far = (edge.src, edge.dst) if forward else (edge.dst, edge.src)
        children.setdefault(near, set()).add(far)
    depth = dict.fromkeys(reached.start, 0)
    parents: dict[int, list[int]] = {}
    frontier = sorted(reached.start)
    while frontier:
        following: list[int] = []
        for near in frontier:
            for far in sorted(children.get(near, ())):
                if far not in depth:
                    depth[far] = depth[near] + 1
                    following.append(far)
                # Only towards the start: a path can then never run in a circle.
                if depth[far] > depth[near] and len(parents.setdefault(far, [])) < _PARENTS:
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
