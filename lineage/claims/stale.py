"""Marks the names whose part of the graph must be computed anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.lineage.claims.bits import Gap, Mode, State, is_open, run_end
from lazaretto.lineage.claims.names import PART, Name
from lazaretto.lineage.claims.rows import GAPS
from lazaretto.lineage.claims.rows import run as merge_rows
from lazaretto.lineage.claims.timeline import TOLERANCE
from lazaretto.storage.bulk import among
from lazaretto.storage.tables import (
    lineage_access,
    lineage_gap,
    lineage_link,
    lineage_name,
    lineage_run,
    lineage_version,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.engine import Connection

Clock = tuple[str, str]
"""Whose clock: a job namespace and a producer."""
_BEGINS = int(State.START)
_STANDS_ALONE = int(Mode.AS_BATCH | Mode.AS_MODEL)
_CHUNK = 500


def mark_stale(connection: Connection, names: Sequence[int]) -> None:
    """Marks some names, by id."""
    name = lineage_name.c
    connection.execute(
        lineage_name.update()
        .where(among(connection, name.id, names), sa.not_(name.stale))
        .values(stale=True)
    )


def mark_around(
    connection: Connection, names: Collection[int], runs: Collection[int], seen: Collection[int]
) -> None:
    """Marks all that follows from names and runs that changed.

    What a run touched in earlier events follows from its later ones; a table from its partitions,
    and they from it; what is the same as another, or was renamed from it, from that.

    Args:
        connection: of an open `Catalog.transaction`.
        names: ids of names of which something new is known.
        runs: ids of runs of which something new is known.
        seen: ids of names of which a version was mentioned that stands for itself: it only matters
            where others read or wrote that name as a table.
    """
    access, name = lineage_access.c, lineage_name.c
    touched = sa.select(access.name).where(among(connection, access.run, list(runs)))
    as_table = (access.version == 0) | (access.modes.bitwise_and(_STANDS_ALONE) == 0)
    mixed = sa.select(access.name).where(among(connection, access.name, list(seen)), as_table)
    found = {*names, *connection.scalars(touched.distinct()), *connection.scalars(mixed.distinct())}
    found.update(connection.scalars(_read_early(connection, runs)))
    roots = sa.select(name.same_as).where(among(connection, name.id, sorted(found)))
    query = sa.select(name.id, name.namespace, name.name).where(name.same_as.in_(roots))
    rows = connection.execute(query).all()
    ids = [row.id for row in rows]
    later = sa.select(access.name).where(among(connection, access.renamed_from, ids))
    mark_stale(connection, [*ids, *connection.scalars(later.distinct())])
    spelled = [Name(row.namespace, row.name) for row in rows]
    _mark_wholes(connection, {_whole(each) for each in spelled if PART in each.name})
    _mark_parts(connection, [each for each in spelled if PART not in each.name])


def _read_early(connection: Connection, runs: Collection[int]) -> sa.Select[tuple[int]]:
    """Tables of which some runs read, by its name, what a long run made: when they ended counts."""
    access, run, link = lineage_access.c, lineage_run.c, lineage_link.c
    version = lineage_version.c
    long = (run.ended_at - run.started_at > TOLERANCE) | (run.states.bitwise_and(_BEGINS) == 0)
    # By the id that an end is of, not by the end of an id: else every version is looked at. Whose
    # the link is makes no difference: asked for, it leads through all links that events name.
    return (
        sa.select(version.name)
        .distinct()
        .select_from(lineage_link)
        .join(lineage_version, version.id == link.src // 2)
        .join(lineage_access, (access.name == version.name) & (access.version == version.id))
        .join(lineage_run, run.id == access.run)
        .where(among(connection, link.dst, [run_end(id_) for id_ in runs]))
        .where(access.writes, access.modes.bitwise_and(_STANDS_ALONE) == 0, long)
    )


def _whole(part: Name) -> Name:
    return Name(part.namespace, part.name.partition(PART)[0])


def _mark_wholes(connection: Connection, wholes: Collection[Name]) -> None:
    """Marks the tables of partitions."""
    name = lineage_name.c
    for whole in wholes:
        connection.execute(
            lineage_name.update()
            .where(name.namespace == whole.namespace, name.name == whole.name)
            .values(stale=True)
        )


def _mark_parts(connection: Connection, wholes: Collection[Name]) -> None:
    """Marks the partitions of tables."""
    name = lineage_name.c
    mark = (
        lineage_name.update()
        .where(
            name.namespace == sa.bindparam("space"),
            name.name >= sa.bindparam("first"),
            name.name < sa.bindparam("past"),
            sa.not_(name.stale),
        )
        .values(stale=True)
    )
    bounds = [
        {"space": n.namespace, "first": f"{n.name}{PART}", "past": f"{n.name}{chr(ord(PART) + 1)}"}
        for n in wholes
    ]
    if bounds:
        connection.execute(mark, bounds)


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


def clocks_of(connection: Connection, runs: Collection[str]) -> dict[str, Clock]:
    """Whose clock the moments of some runs are by, as far as is known yet; by OpenLineage id."""
    run = lineage_run.c
    found: dict[str, Clock] = {}
    ids = list(runs)
    for start in range(0, len(ids), _CHUNK):
        query = sa.select(run.run, run.namespace, run.producer).where(
            run.run.in_(ids[start : start + _CHUNK])
        )
        for row in connection.execute(query):
            found[row.run] = (row.namespace, row.producer)
    return found


def mark_habits(
    connection: Connection, begun: Collection[Clock], stopped: Collection[Clock]
) -> None:
    """Marks what the runs without a start touched of those who turn out to tell of starts, or not.

    Such a run may have read more than is known.

    Args:
        connection: of an open `Catalog.transaction`.
        begun: those who turn out to tell the start of runs.
        stopped: those who turn out not to, as their one run with a start is somebody else's, too.
    """
    access, run, gap = lineage_access.c, lineage_run.c, lineage_gap.c
    for namespace, producer in (*begun, *stopped):
        lost = sa.and_(
            run.namespace == namespace,
            run.producer == producer,
            run.states.bitwise_and(_BEGINS) == 0,
        )
        touched = sa.select(access.name).join(lineage_run, run.id == access.run).where(lost)
        mark_around(connection, list(connection.scalars(touched.distinct())), (), ())
        ends = [run_end(id_) for id_ in connection.scalars(sa.select(run.id).where(lost))]
        connection.execute(
            lineage_gap.delete().where(
                among(connection, gap.node, ends), gap.kind == Gap.NO_START, gap.owner == 0
            )
        )
        if (namespace, producer) in begun:
            columns = (run.id, run.states, run.ended_at, run.finished_at)
            gaps = [
                (run_end(row.id), Gap.NO_START, 0, None if _runs_on(row) else row.ended_at)
                for row in connection.execute(sa.select(*columns).where(lost, run.writes))
                if not row.states & State.LEDGER
            ]
            merge_rows(connection, GAPS, gaps)


def _runs_on(row: Any) -> bool:
    return is_open(State(row.states), row.ended_at, row.finished_at)
