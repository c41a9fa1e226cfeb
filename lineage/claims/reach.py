"""Follows links from a set of ends, by what is known or by all that is possible."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import sqlalchemy as sa

from lazaretto.lineage.claims.bits import Basis, Mode, Why
from lazaretto.lineage.claims.network import Ints, network
from lazaretto.storage.bulk import among
from lazaretto.storage.tables import lineage_access, lineage_link

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from sqlalchemy.engine import Connection

FEW = 4  # ways into an end that are kept, for the few paths that are shown
_ANEW = Mode.REPLACED | Mode.RENAMED | Mode.DROPPED | Mode.AS_BATCH | Mode.AS_MODEL
WIDE = 5_000
"""Ends of one level from which on all links are read into arrays."""


class Step(NamedTuple):
    """The way into an end: from which, on what basis, by which rule."""

    src: int
    basis: int
    why: int


class _Level(NamedTuple):
    """A way into each of many ends, which are in order."""

    ends: Ints
    src: Ints
    basis: Ints
    why: Ints


@dataclass(slots=True)
class Steps:
    """By end, a few ways into it from ends that are nearer to the start."""

    few: dict[int, list[Step]] = field(default_factory=dict)
    many: list[_Level] = field(default_factory=list)

    def into(self, end: int) -> list[Step]:
        """The ways into an end."""
        found = self.few.get(end)
        if found is not None:
            return found
        for level in self.many:
            place = int(np.searchsorted(level.ends, end))
            if place < len(level.ends) and level.ends[place] == end:
                at = (int(column[place]) for column in (level.src, level.basis, level.why))
                return [Step(*at)]
        return []

    def note(self, end: int, step: Step) -> None:
        """Adds a way into an end, unless there are enough."""
        ways = self.few.setdefault(end, self.into(end))
        if step not in ways and len(ways) < FEW:
            ways.append(step)


def spread(
    connection: Connection,
    start: Iterable[int],
    known: set[int],
    steps: Steps,
    *,
    most: Basis,
    forward: bool = True,
) -> set[int]:
    """Follows links until nothing new is reached.

    Args:
        connection: of the catalog.
        start: ends to begin at.
        known: ends that need not be followed; those that are reached are added.
        steps: ways into ends; those that are found are added.
        most: links of a higher basis are not followed.
        forward: from what was read to what was made; else back.

    Returns:
        The ends that are new, the start's included.
    """
    link = lineage_link.c
    near, far = (link.src, link.dst) if forward else (link.dst, link.src)
    frontier = [end for end in dict.fromkeys(start) if end not in known]
    known.update(frontier)
    new = set(frontier)
    while frontier:
        if len(frontier) > WIDE:
            wide = _spread_wide(connection, frontier, known, steps, most, forward=forward)
            return new | wide
        query = sa.select(near, far, link.basis, link.why).where(
            among(connection, near, frontier), link.basis <= int(most)
        )
        level: dict[int, list[Step]] = {}
        for at, to, basis, why in connection.execute(query):
            if to not in known:
                ways = level.setdefault(to, [])
                if len(ways) < FEW:
                    ways.append(Step(at, basis, why))
        steps.few.update(level)
        frontier = list(level)
        known.update(frontier)
        new.update(frontier)
    return new


def _spread_wide(
    connection: Connection,
    frontier: list[int],
    known: set[int],
    steps: Steps,
    most: Basis,
    *,
    forward: bool,
) -> set[int]:
    """The same where much is reached: in arrays."""
    links = network(connection, forward=forward)
    followed = links.basis <= int(most)
    seen = np.fromiter(known, np.int64, len(known))
    size = int(max(seen.max(initial=0), links.to.max(initial=0), links.ends.max(initial=0))) + 1
    reached = np.zeros(size, bool)
    reached[seen[seen >= 0]] = True
    level = np.sort(np.array(frontier, np.int64))
    found: list[Ints] = []
    while len(level):
        src, place = links.onward(level)
        keep = followed[place] & ~reached[links.to[place]]
        src, place = src[keep], place[keep]
        level, first = _distinct(links.to[place], size)
        reached[level] = True
        at = place[first]
        ways = (src[first], links.basis[at].astype(np.int64), links.why[at].astype(np.int64))
        steps.many.append(_Level(level, *ways))
        found.append(level)
    new = set(np.concatenate(found).tolist())
    known |= new
    return new


def _distinct(ends: Ints, size: int) -> tuple[Ints, Ints]:
    """Different ends in order, and where each is first; all are below ``size``."""
    if len(ends) * 20 < size:
        return np.unique(ends, return_index=True)
    # To sort millions takes longer than to look through all ends there are.
    at = np.full(size, -1, np.int64)
    at[ends[::-1]] = np.arange(len(ends) - 1, -1, -1)  # of the same end the first stays
    found = np.flatnonzero(at >= 0)
    return found, at[found]


def one_of(
    connection: Connection, ends: Collection[int], *, forward: bool = True
) -> Iterator[tuple[int, list[int]]]:
    """What read one of several versions, not known which; with those versions.

    Args:
        connection: of the catalog.
        ends: some of the versions, or what read them.
        forward: whether they are the versions.

    Yields:
        An end, and all versions of which it read one; once for each table.
    """
    link = lineage_link.c
    readers = _readers_of(connection, ends) if forward else ends
    found: dict[tuple[int, int], list[int]] = {}
    query = sa.select(link.dst, link.owner, link.src).where(
        among(connection, link.dst, sorted(readers)), link.why == int(Why.ONE_OF)
    )
    for dst, owner, src in connection.execute(query.order_by(link.owner, link.src)):
        found.setdefault((dst, owner), []).append(src)
    for (dst, _), sources in found.items():
        yield dst, sources


def _readers_of(connection: Connection, ends: Collection[int]) -> set[int]:
    """What read one of several versions, some of which are given."""
    if len(ends) > WIDE:
        links = network(connection, forward=True)
        places = np.flatnonzero(links.why == int(Why.ONE_OF))
        versions = links.ends[np.searchsorted(links.starts, places, side="right") - 1]
        pairs = zip(versions.tolist(), links.to[places].tolist(), strict=True)
        return {reader for version, reader in pairs if version in ends}
    link = lineage_link.c
    query = sa.select(link.dst).where(
        among(connection, link.src, list(ends)), link.why == int(Why.ONE_OF)
    )
    return set(connection.scalars(query))


def measured(connection: Connection, ends: Collection[int]) -> set[int]:
    """Runs that only measured with some versions."""
    link = lineage_link.c
    any_ = sa.select(link.dst).where(link.basis == int(Basis.MEASURED))
    if len(ends) > WIDE:
        return {run for src, run in _measuring(connection) if src in ends}
    return set(connection.scalars(any_.where(among(connection, link.src, list(ends)))))


def _measuring(connection: Connection) -> Iterable[tuple[int, int]]:
    link = lineage_link.c
    query = sa.select(link.src, link.dst).where(link.basis == int(Basis.MEASURED))
    return [(row.src, row.dst) for row in connection.execute(query)]


def outputs(connection: Connection, runs: Collection[int]) -> set[int]:
    """What some runs made, by what is known."""
    link = lineage_link.c
    query = sa.select(link.dst).where(
        among(connection, link.src, list(runs)), link.basis <= int(Basis.POSSIBLE)
    )
    return set(connection.scalars(query))


def appended(connection: Connection, ends: Collection[int]) -> bool:
    """Whether some of the versions may hold what their table held before a run wrote them."""
    access = lineage_access.c
    versions = [end // 2 for end in ends if end > 0 and not end % 2]
    runs = [end // 2 for end in ends if end > 0 and end % 2]
    query = sa.select(access.run).where(
        among(connection, access.run, runs),
        among(connection, access.version, versions),
        access.writes,
        access.modes.bitwise_and(int(_ANEW)) == 0,
    )
    return connection.scalar(query.limit(1)) is not None
