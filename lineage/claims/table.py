"""Reads what is known of one dataset, under all its names, as states and readers of a timeline."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from lazaretto.lineage.claims.bits import Kind, Mode, State, run_end, version_end
from lazaretto.lineage.claims.names import PART, Name, dataset_in_store, source_in_store
from lazaretto.lineage.claims.same import members
from lazaretto.lineage.claims.stale import tells_starts
from lazaretto.lineage.claims.timeline import EVER, NEVER, Reader, Replaces, TableState
from lazaretto.storage.bulk import among
from lazaretto.storage.tables import (
    lineage_access,
    lineage_link,
    lineage_name,
    lineage_run,
    lineage_version,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.engine import Connection, Row

MOST_COUNTED = 10**9
LEDGER = "ledger"
"""Clock of what the ledger tells."""


class Version(NamedTuple):
    """A version of the dataset that events name.

    Attributes:
        id: in `lineage_version`.
        name: in `lineage_name`.
        version: what it is called.
        kinds: what events say that it is.
        first_at: first mention.
        written: a run is known that made it.
    """

    id: int
    name: int
    version: str
    kinds: int
    first_at: int
    written: bool


@dataclass(frozen=True, slots=True)
class Unnamed:
    """A run that wrote the dataset without naming a version.

    Attributes:
        run: its id in `lineage_run`.
        uuid: its OpenLineage id.
        name: id of the name that it wrote.
        kind: what it says that it wrote.
        happened: whether it is known to have done so.
        at: its last event.
    """

    run: int
    uuid: str
    name: int
    kind: Kind
    happened: bool
    at: int


@dataclass(slots=True)
class Dataset:
    """All that is known of one dataset.

    Attributes:
        owner: id of the name that stands for all.
        names: all its names, by id.
        versions: that events name.
        writes: rows of `lineage_access` with their runs, one for each state.
        readers: runs that read it without naming a version, once for each.
        pure: BATCH or MODEL where all that wrote it say so; TABLE where none does; 0: they differ.
        renamed_from: ids of names that it had.
    """

    owner: int
    names: dict[int, Name]
    versions: list[Version]
    writes: list[Row[tuple[int, ...]]]
    readers: list[Reader]
    pure: Kind
    renamed_from: set[int] = field(default_factory=set)

    @property
    def admitted(self) -> str | None:
        """The admitted dataset that it is; None: it is none."""
        return next((d for name in self.names.values() if (d := dataset_in_store(name))), None)

    @property
    def received(self) -> bool:
        """Whether it is the batches of a source."""
        return any(source_in_store(name) for name in self.names.values())


def read_dataset(connection: Connection, name: int) -> Dataset:
    """Reads a dataset by the id of one of its names."""
    ids = members(connection, name)
    rows = connection.execute(sa.select(lineage_name).where(lineage_name.c.id.in_(ids)))
    names = {row.id: Name(row.namespace, row.name) for row in rows}
    columns = ("id", "name", "version", "kinds", "first_at", "written")
    query = sa.select(*(lineage_version.c[column] for column in columns)).where(
        lineage_version.c.name.in_(ids),
        lineage_version.c.kinds.bitwise_and(int(Kind.HIDDEN)) == 0,
        ~lineage_version.c.version.startswith("run:"),
    )
    versions = [Version(*row) for row in connection.execute(query)]
    writes = _accesses(connection, ids, writes=True)
    related = _related(connection, names.values())
    elsewhere = _is_written(connection, related)
    readers = _readers(connection, ids, versions, gap=not elsewhere)
    own = {reader.node for reader in readers}
    readers += [r for r in _readers(connection, related, [], gap=False) if r.node not in own]
    return Dataset(
        owner=ids[0],
        names=names,
        versions=versions,
        writes=writes,
        readers=readers,
        pure=_purely(writes),
        renamed_from={row.renamed_from for row in writes if row.renamed_from is not None},
    )


def states_of(
    connection: Connection, dataset: Dataset, known: Iterable[str]
) -> tuple[list[TableState], list[Unnamed]]:
    """The states of a dataset, and the runs whose state has no name yet.

    Args:
        connection: of the catalog.
        dataset: as it was read.
        known: versions that nobody is known to have written under this name, but under another.

    Returns:
        States; those of `Unnamed` runs have the node 0, until it is made.
    """
    known = set(known)
    starts = _starts(connection, dataset.writes)
    texts = {v.id: v.version for v in dataset.versions}
    counts = all(_number(text) is not None for text in texts.values())
    named = {row.run for row in dataset.writes if row.version}
    made: dict[str, TableState] = {}
    unnamed: list[Unnamed] = []
    for row in dataset.writes:
        mode = Mode(row.modes)
        if mode & Mode.UNNAMED and row.run in named and not mode & Mode.DROPPED:
            continue  # another event of the run named the version
        state = _state(row, mode, starts[row.run])
        if mode & Mode.DROPPED:
            state = replace(state, key=f"drop:{row.uuid}", node=None, replaces=Replaces.YES)
        elif row.version:
            text = texts[row.version]
            number = _number(text) if counts else None
            state = replace(state, key=text, node=version_end(row.version), number=number)
        else:
            state = replace(state, key=f"run:{row.uuid}", node=0)
            kind = Kind.MODEL if mode & Mode.AS_MODEL else Kind.TABLE
            happened, at = State(row.states).happened, row.ended_at
            unnamed.append(Unnamed(row.run, row.uuid, row.name, kind, happened, at))
        made[state.key] = _joined(made.get(state.key), state)
    if dataset.pure in (Kind.BATCH, Kind.MODEL):
        return list(made.values()), unnamed
    for version in dataset.versions:
        if not version.written and version.version not in made:
            number = _number(version.version) if counts else None
            sure = version.version in known
            made[version.version] = TableState(
                version.version,
                version_end(version.id),
                0,
                number,
                EVER,
                version.first_at,
                "",
                replaces=Replaces.YES if sure else Replaces.MAYBE,
                renamed=sure,
            )
    return list(made.values()), unnamed


def _joined(known: TableState | None, state: TableState) -> TableState:
    """Several runs that name the same version: it was there when the first one ended."""
    if known is None:
        return state
    order = (Replaces.MAYBE, Replaces.NO, Replaces.CREATED, Replaces.YES)
    happened = known.happened or state.happened
    kept = [each for each in (known, state) if each.happened == happened]
    first = min(kept, key=lambda each: (each.end, each.run))
    return replace(
        first,
        start=min(each.start for each in kept),
        end=max(each.end for each in kept),
        clock=first.clock if len({each.clock for each in kept}) == 1 else "",
        replaces=min((each.replaces for each in kept), key=order.index),
    )


def _state(row: Row[tuple[int, ...]], mode: Mode, start: int) -> TableState:
    states = State(row.states)
    replaces = Replaces.NO
    if mode & (Mode.REPLACED | Mode.RENAMED):
        replaces = Replaces.YES
    elif mode & Mode.CREATED:
        replaces = Replaces.CREATED
    elif mode & Mode.AS_MODEL:
        replaces = Replaces.YES
    if not states.happened and states.is_open and replaces is Replaces.NO:
        replaces = Replaces.MAYBE  # how it writes may be told at its end
    return TableState(
        key="",
        node=0,
        run=run_end(row.run),
        number=None,
        start=start,
        end=NEVER if states.is_open else row.ended_at,
        clock=_clock(row),
        happened=states.happened,
        replaces=replaces,
        renamed=bool(mode & Mode.RENAMED),
    )


def _readers(
    connection: Connection, names: Sequence[int], versions: Sequence[Version], *, gap: bool
) -> list[Reader]:
    """Those who read without naming a version in any of their events."""
    rows = _accesses(connection, names, writes=False)
    starts = _starts(connection, rows)
    mine = {version_end(version.id) for version in versions}
    link = lineage_link.c
    ends = [run_end(row.run) for row in rows]
    query = sa.select(link.src, link.dst).where(among(connection, link.dst, ends), link.owner == 0)
    named = {row.dst for row in connection.execute(query) if row.src in mine}
    found: dict[int, Reader] = {}
    for row in rows:
        end = run_end(row.run)
        if end not in named and not row.role.startswith("~"):
            open_ = State(row.states).is_open
            found[end] = Reader(
                end,
                starts[row.run],
                NEVER if open_ else row.ended_at,
                _clock(row),
                gap and not State(row.states) & State.LEDGER,
            )
    return list(found.values())


def _accesses(
    connection: Connection, names: Sequence[int], *, writes: bool
) -> list[Row[tuple[int, ...]]]:
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
            run.states,
        )
        .join(lineage_run, run.id == access.run)
        .where(access.name.in_(names), access.writes == sa.literal(writes))
    )
    return list(connection.execute(query).all()) if names else []


def _starts(connection: Connection, rows: Sequence[Row[tuple[int, ...]]]) -> dict[int, int]:
    """When each run began at the earliest; the start may be lost where others are told."""
    begins = State.START | State.RUNNING | State.LEDGER
    lost = [row for row in rows if not State(row.states) & begins]
    telling = tells_starts(connection, {(row.namespace, row.producer) for row in lost})
    found = {row.run: row.started_at for row in rows}
    for row in lost:
        if (row.namespace, row.producer) in telling:
            found[row.run] = EVER
    return found


def _related(connection: Connection, names: Iterable[Name]) -> list[int]:
    """Ids of the partitions of a table, or of the table of a partition."""
    found: list[int] = []
    column = lineage_name.c
    for name in names:
        query = sa.select(column.id).where(column.namespace == name.namespace)
        if PART in name.name:
            query = query.where(column.name == name.name.partition(PART)[0])
        else:
            start, end = f"{name.name}{PART}", f"{name.name}{chr(ord(PART) + 1)}"
            query = query.where(column.name >= start, column.name < end)
        found += connection.scalars(query)
    return found


def _is_written(connection: Connection, names: Sequence[int]) -> bool:
    access = lineage_access.c
    query = sa.select(access.run).where(access.name.in_(names), access.writes).limit(1)
    return bool(names) and connection.scalar(query) is not None


def _purely(writes: Iterable[Row[tuple[int, ...]]]) -> Kind:
    said = {Mode(row.modes) & (Mode.AS_BATCH | Mode.AS_MODEL) for row in writes}
    kinds = {Mode.AS_BATCH: Kind.BATCH, Mode.AS_MODEL: Kind.MODEL, Mode(0): Kind.TABLE}
    if not said:
        return Kind.TABLE
    return kinds.get(said.pop(), Kind(0)) if len(said) == 1 else Kind(0)


def _clock(row: Row[tuple[int, ...]]) -> str:
    return LEDGER if State(row.states) & State.LEDGER else f"{row.namespace}\x1f{row.producer}"


def _number(text: str) -> int | None:
    """The number that a version counts by; None: it does not count."""
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(MOST_COUNTED)) - 1:
        return None
    return int(text)
