"""Reads what is known of one dataset, under all its names: versions, writers and readers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import sqlalchemy as sa

from lazaretto.lineage.claims.bits import Kind, Mode, State, is_open, run_end, version_end
from lazaretto.lineage.claims.names import PART, Name, dataset_in_store, source_in_store
from lazaretto.lineage.claims.same import members
from lazaretto.lineage.claims.stale import tells_starts
from lazaretto.lineage.claims.streams import Moments, moments_of
from lazaretto.lineage.claims.timeline import EVER, NEVER, Reader
from lazaretto.storage.bulk import among
from lazaretto.storage.tables import (
    lineage_access,
    lineage_link,
    lineage_name,
    lineage_run,
    lineage_version,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy.engine import Connection, Row

    Access: TypeAlias = Row[Any]

LEDGER = "ledger"
"""Clock of what the ledger tells."""


class Version(NamedTuple):
    """A version of the dataset that events name.

    Attributes:
        id: in `lineage_version`.
        name: in `lineage_name`.
        version: what it is called.
        kinds: what events say that it is.
        first_at: first mention, under any of the dataset's names.
        written: a run is known that made it.
    """

    id: int
    name: int
    version: str
    kinds: int
    first_at: int
    written: bool


@dataclass(slots=True)
class Dataset:
    """All that is known of one dataset.

    Attributes:
        owner: id of the name that stands for all.
        names: all its names, by id.
        versions: that events name.
        writes: rows of `lineage_access` with their runs, one for each state.
        wipes: the same of the table that it is a partition of, where that was replaced.
        readers: runs that read it without naming a version, once for each.
        starts: when each run that wrote it began, by its id.
        moments: of the streams among the runs, by the id of the run.
        pure: BATCH or MODEL where all that wrote it say so; TABLE where none does; 0: they differ.
        renamed_from: ids of names that it had.
        beside: rows of those who wrote its partitions, or the table that it is a partition of.
        roots: by the id of a name of those, that of the first name of the same.
    """

    owner: int
    names: dict[int, Name]
    versions: list[Version]
    writes: list[Access]
    wipes: list[Access]
    readers: list[Reader]
    starts: dict[int, int]
    moments: dict[int, Moments]
    pure: Kind
    renamed_from: set[int] = field(default_factory=set)
    beside: list[Access] = field(default_factory=list)
    roots: dict[int, int] = field(default_factory=dict)

    def spelled(self, name: int) -> tuple[str, str]:
        """Namespace and name of one of its names, by which they are in order whoever came first."""
        return self.names[name]

    @property
    def admitted(self) -> tuple[int, str] | None:
        """The name by which it is an admitted dataset, and which; None: it is none."""
        for id_, name in self.names.items():
            if (dataset := dataset_in_store(name)) is not None:
                return id_, dataset
        return None

    @property
    def received(self) -> bool:
        """Whether it is the batches of a source."""
        return any(source_in_store(name) for name in self.names.values())


def read_dataset(connection: Connection, name: int) -> Dataset:
    """Reads a dataset by the id of one of its names."""
    ids = members(connection, name)
    spelled = sa.select(lineage_name).where(lineage_name.c.id.in_(ids))
    rows = connection.execute(spelled.order_by(lineage_name.c.id))
    names = {row.id: Name(row.namespace, row.name) for row in rows}
    columns = ("id", "name", "version", "kinds", "first_at", "written")
    query = sa.select(*(lineage_version.c[column] for column in columns)).where(
        lineage_version.c.name.in_(ids),
        lineage_version.c.kinds.bitwise_and(int(Kind.MADE)) == 0,
    )
    versions = _in_order([Version(*row) for row in connection.execute(query)], names)
    writes = accesses(connection, ids, writes=True)
    parts, wholes = _related(connection, names.values())
    above = accesses(connection, list(wholes), writes=True)
    reads = accesses(connection, ids, writes=False)
    others = accesses(connection, [*parts, *wholes], writes=False)
    moments = moments_of(connection, [*writes, *reads, *others])
    beside = above + accesses(connection, list(parts), writes=True) if reads else above
    readers = _readers(connection, reads, versions, moments, gap=True)
    own = {reader.run for reader in readers}
    more = _readers(connection, others, [], moments, gap=False)
    replacing = Mode.REPLACED | Mode.DROPPED | Mode.RENAMED
    return Dataset(
        owner=ids[0],
        names=names,
        versions=versions,
        writes=writes,
        wipes=[row for row in above if row.modes & replacing],
        readers=readers + [reader for reader in more if reader.run not in own],
        starts=starts_of(connection, [*writes, *beside]),
        moments=moments,
        pure=_purely(writes),
        renamed_from={row.renamed_from for row in writes if row.renamed_from is not None},
        beside=beside,
        roots=parts | wholes,
    )


def _in_order(versions: list[Version], names: Mapping[int, Name]) -> list[Version]:
    """In an order of what they are called; under several names a version has its first mention."""
    first: dict[str, int] = {}
    for each in versions:
        first[each.version] = min(first.get(each.version, each.first_at), each.first_at)
    dated = [each._replace(first_at=first[each.version]) for each in versions]
    return sorted(dated, key=lambda each: (names[each.name], each.version))


def clock_of(row: Access) -> str:
    """Whose clock the moments of a run are by."""
    return LEDGER if State(row.states) & State.LEDGER else f"{row.namespace}\x1f{row.producer}"


def runs_on(row: Access) -> bool:
    """Whether the end of a run is not known."""
    return is_open(State(row.states), row.ended_at, row.finished_at)


def starts_of(connection: Connection, rows: Sequence[Access]) -> dict[int, int]:
    """When each run began at the earliest; the start may be lost where others are told."""
    begun = State.START | State.LEDGER
    lost = [row for row in rows if not State(row.states) & begun]
    telling = tells_starts(connection, {(row.namespace, row.producer) for row in lost})
    found = {row.run: row.started_at for row in rows}
    for row in lost:
        if (row.namespace, row.producer) in telling:
            found[row.run] = EVER
    found |= {row.run: EVER for row in rows if State(row.states) & State.SOMETIME}
    return found


def _readers(
    connection: Connection,
    rows: Sequence[Access],
    versions: Sequence[Version],
    moments: dict[int, Moments],
    *,
    gap: bool,
) -> list[Reader]:
    """Those who read without naming a version in any of their events."""
    if not rows:
        return []
    starts = starts_of(connection, rows)
    mine = {version_end(version.id) for version in versions}
    link = lineage_link.c
    ends = [run_end(row.run) for row in rows]
    query = sa.select(link.src, link.dst).where(among(connection, link.dst, ends), link.owner == 0)
    named = {row.dst for row in connection.execute(query) if row.src in mine}
    found: dict[int, Reader] = {}
    streams: list[Reader] = []
    hides_nothing = State.LEDGER | State.RECEIVES
    for row in rows:
        end = run_end(row.run)
        if end in named or end in found:
            continue
        measures = row.role.startswith("~")
        found[end] = Reader(
            end,
            starts[row.run],
            NEVER if runs_on(row) else row.ended_at,
            clock_of(row),
            gap and not measures and not State(row.states) & hides_nothing,
            measures,
            run=end,
            summed=bool(row.modes & Mode.SUMMED),
        )
        if row.run in moments and not measures:
            streams += moments[row.run].readers(end, clock_of(row))
    return [*found.values(), *streams]


def accesses(connection: Connection, names: Sequence[int], *, writes: bool) -> list[Access]:
    """Rows of `lineage_access` of some names, with their runs.

    In an order of what they say: where a run has several, the first speaks for it, and which a
    database happens to give first depends on its plan.
    """
    if not names:
        return []
    access, run = lineage_access.c, lineage_run.c
    query = (
        sa.select(
            access.name,
            access.run,
            access.version,
            access.modes,
            access.renamed_from,
            access.role,
            run.run.label("uuid"),
            run.namespace,
            run.producer,
            run.started_at,
            run.ended_at,
            run.finished_at,
            run.states,
            run.purpose,
        )
        .join(lineage_run, run.id == access.run)
        .where(access.name.in_(names), access.writes == sa.literal(writes))
        .order_by(run.run, access.role, access.modes, access.version, access.name)
    )
    return [*connection.execute(query)]


def _related(
    connection: Connection, names: Iterable[Name]
) -> tuple[dict[int, int], dict[int, int]]:
    """Ids of the partitions of a table, and of the table of a partition; each with its root."""
    parts: list[int] = []
    wholes: list[int] = []
    column = lineage_name.c
    for name in names:
        query = sa.select(column.id).where(column.namespace == name.namespace)
        if PART in name.name:
            wholes += connection.scalars(query.where(column.name == name.name.partition(PART)[0]))
        else:
            start, end = f"{name.name}{PART}", f"{name.name}{chr(ord(PART) + 1)}"
            parts += connection.scalars(query.where(column.name >= start, column.name < end))
    return _all_names(connection, parts), _all_names(connection, wholes)


def _all_names(connection: Connection, names: Sequence[int]) -> dict[int, int]:
    """Some names, and all that are of the same datasets: by id, the first of the same."""
    if not names:
        return {}
    column = lineage_name.c
    roots = sa.select(column.same_as).where(among(connection, column.id, list(names)))
    query = sa.select(column.id, column.same_as).where(column.same_as.in_(roots))
    return {row.id: row.same_as for row in connection.execute(query)}


def _purely(writes: Iterable[Access]) -> Kind:
    said = {Mode(row.modes) & (Mode.AS_BATCH | Mode.AS_MODEL) for row in writes}
    kinds = {Mode.AS_BATCH: Kind.BATCH, Mode.AS_MODEL: Kind.MODEL, Mode(0): Kind.TABLE}
    if not said:
        return Kind.TABLE
    return kinds.get(said.pop(), Kind(0)) if len(said) == 1 else Kind(0)
