"""Follows links from a set of ends, by what is known or by all that is possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import sqlalchemy as sa

from lazaretto.lineage.claims.bits import Basis
from lazaretto.storage.bulk import among
from lazaretto.storage.tables import lineage_link

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlalchemy.engine import Connection

FEW = 4  # ways into an end that are kept, for the few paths that are shown


class Step(NamedTuple):
    """The way into an end: from which, on what basis, by which rule."""

    src: int
    basis: int
    why: int


Steps: TypeAlias = "dict[int, list[Step]]"
"""By end, a few ways into it from ends that are nearer to the start."""


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
        query = sa.select(near, far, link.basis, link.why).where(
            among(connection, near, frontier), link.basis <= int(most)
        )
        level: dict[int, list[Step]] = {}
        for at, to, basis, why in connection.execute(query):
            if to not in known:
                ways = level.setdefault(to, [])
                if len(ways) < FEW:
                    ways.append(Step(at, basis, why))
        steps.update(level)
        frontier = list(level)
        known.update(frontier)
        new.update(frontier)
    return new


def measured(connection: Connection, ends: Collection[int]) -> set[int]:
    """Runs that only measured with some versions."""
    link = lineage_link.c
    query = sa.select(link.dst).where(
        among(connection, link.src, list(ends)), link.basis == int(Basis.MEASURED)
    )
    return set(connection.scalars(query))


def outputs(connection: Connection, runs: Collection[int]) -> set[int]:
    """What some runs made, by what is known."""
    link = lineage_link.c
    query = sa.select(link.dst).where(
        among(connection, link.src, list(runs)), link.basis <= int(Basis.POSSIBLE)
    )
    return set(connection.scalars(query))
