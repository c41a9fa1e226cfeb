"""Marks the names whose part of the graph must be computed anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.lineage.claims.bits import Gap, State, run_end
from lazaretto.lineage.claims.names import PART, Name
from lazaretto.lineage.claims.rows import GAPS
from lazaretto.lineage.claims.rows import run as merge_rows
from lazaretto.storage.bulk import among
from lazaretto.storage.tables import lineage_access, lineage_name, lineage_run

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.engine import Connection

Clock = tuple[str, str]
"""Whose clock: a job namespace and a producer."""
_BEGINS = int(State.START)


def mark_stale(connection: Connection, names: Sequence[int]) -> None:
    """Marks some names, by id."""
    name = lineage_name.c
    connection.execute(
        lineage_name.update()
        .where(among(connection, name.id, names), sa.not_(name.stale))
        .values(stale=True)
    )


def mark_touched(connection: Connection, runs: Sequence[int]) -> None:
    """Marks what some runs wrote, or read without naming a version: when that was may be new."""
    access = lineage_access.c
    names = sa.select(access.name).where(among(connection, access.run, runs))
    connection.execute(
        lineage_name.update()
        .where(lineage_name.c.id.in_(names), sa.not_(lineage_name.c.stale))
        .values(stale=True)
    )


def mark_parts(connection: Connection, wholes: Collection[Name]) -> None:
    """Marks the partitions of tables that were read as a whole."""
    name = lineage_name.c
    for whole in wholes:
        start, end = f"{whole.name}{PART}", f"{whole.name}{chr(ord(PART) + 1)}"
        connection.execute(
            lineage_name.update()
            .where(name.namespace == whole.namespace, name.name >= start, name.name < end)
            .values(stale=True)
        )


def mark_wholes(connection: Connection, names: Collection[Name]) -> None:
    """Marks the tables of partitions: who reads the whole reads those, too."""
    for name in names:
        whole, part, _ = name.name.partition(PART)
        if part:
            column = lineage_name.c
            connection.execute(
                lineage_name.update()
                .where(column.namespace == name.namespace, column.name == whole)
                .values(stale=True)
            )


def mark_shared(connection: Connection, names: Sequence[int]) -> None:
    """Marks those of some names that are the same as others."""
    name, other = lineage_name.c, lineage_name.alias()
    more = sa.select(other.c.id).where(other.c.same_as == name.same_as, other.c.id != name.id)
    connection.execute(
        lineage_name.update()
        .where(among(connection, name.id, names), sa.not_(name.stale), more.exists())
        .values(stale=True)
    )


def tells_starts(connection: Connection, clocks: Collection[Clock]) -> set[Clock]:
    """Those that tell the start of any of their runs."""
    run = lineage_run.c
    found = set()
    for namespace, producer in clocks:
        query = sa.select(run.id).where(
            run.namespace == namespace,
            run.producer == producer,
            sa.text("states % 2 = 1"),  # as the index says it: START is the first bit
        )
        if connection.scalar(query.limit(1)) is not None:
            found.add((namespace, producer))
    return found


def mark_habits(connection: Connection, clocks: Collection[Clock]) -> None:
    """Marks what the runs touched of those who turn out to tell the start of runs.

    Their runs without a start may have read more than is known.
    """
    access, run = lineage_access.c, lineage_run.c
    for namespace, producer in clocks:
        lost = sa.and_(
            run.namespace == namespace,
            run.producer == producer,
            run.states.bitwise_and(_BEGINS) == 0,
        )
        touched = sa.select(access.name).join(lineage_run, run.id == access.run).where(lost)
        connection.execute(
            lineage_name.update().where(lineage_name.c.id.in_(touched)).values(stale=True)
        )
        rows = connection.execute(sa.select(run.id, run.ended_at).where(lost, run.writes))
        gaps = [(run_end(row.id), Gap.NO_START, 0, row.ended_at) for row in rows]
        merge_rows(connection, GAPS, gaps)
