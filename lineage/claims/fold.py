"""Folds claims into rows that are the same for the same set. Long: each merge is beside its rows.

Every merge is one that order and repetition do not matter to: the earliest, the latest, the union.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from lazaretto.lineage.claims import rows
from lazaretto.lineage.claims.bits import (
    Basis,
    Gap,
    Kind,
    Mode,
    State,
    is_open,
    run_end,
    version_end,
)
from lazaretto.lineage.claims.names import PART, Name, dataset_in_store, source_in_store
from lazaretto.lineage.claims.network import note_change
from lazaretto.lineage.claims.same import unite, unite_parts, unite_shared
from lazaretto.lineage.claims.stale import (
    clocks_of,
    mark_around,
    mark_habits,
    mark_shared,
    tells_starts,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.lineage.claims.claim import Claim, Used
    from lazaretto.lineage.claims.names import Names
    from lazaretto.lineage.claims.stale import Clock

# Plain numbers: operations on flags take as long as all else that is done with an input.
_BATCH, _INDEPENDENT = int(Kind.BATCH), int(Kind.BATCH | Kind.MODEL)
_NEEDS_NONE = int(Mode.DROPPED | Mode.EMPTIED | Mode.RENAMED)
_KNOWN, _MEASURED = int(Basis.KNOWN), int(Basis.MEASURED)
_BEGUN = State.START | State.LEDGER
MOST_PARTS = 500
"""Partitions of one dataset that an event may name; of more, the whole table is taken."""
_T = TypeVar("_T", int, str)
Point = tuple[Name, str]
"""A version of a name."""


@dataclass(slots=True)
class _Version:
    kinds: int
    first_at: int
    last_at: int
    written: bool
    source: str | None
    t_from: int | None
    t_to: int | None
    received_at: int | None
    digest: str | None
    rows: int | None


@dataclass(slots=True)
class _Run:
    namespace: str
    job: str
    producer: str
    started_at: int
    ended_at: int
    finished_at: int | None
    states: int
    reads: bool
    writes: bool
    purpose: str


@dataclass(slots=True)
class _Access:
    modes: int
    renamed_from: Name | None
    role: str


@dataclass(slots=True)
class Folded:
    """What a set of claims says, merged; `write` puts it into the catalog.

    Attributes:
        names: by name, what events say that it is.
        edges: how many inputs and outputs of runs were named.
        ours: outputs that only the ledger tells of, and that were left out.
    """

    spell: Names
    names: dict[Name, int] = field(default_factory=dict)
    edges: int = 0
    ours: int = 0
    _versions: dict[Point, _Version] = field(default_factory=dict)
    _runs: dict[str, _Run] = field(default_factory=dict)
    _accesses: dict[tuple[Name, str, bool, str], _Access] = field(default_factory=dict)
    _reads: dict[tuple[Name, str, str], int] = field(default_factory=dict)
    _writes: set[tuple[str, Name, str]] = field(default_factory=set)
    _same: set[tuple[Name, Name]] = field(default_factory=set)
    _tables: set[Name] = field(default_factory=set)
    _merged: list[tuple[Any, ...]] = field(default_factory=list)
    _spelled: dict[tuple[str, str], Name] = field(default_factory=dict)

    def add(self, claim: Claim) -> None:
        """Takes one claim."""
        at = micros(claim.at)
        learns = False
        for used in claim.inputs:
            learns |= self._read(claim, used, at)
        wrote = False
        for used in claim.outputs:
            wrote |= self._wrote(claim, used, at)
        found = self._runs.get(claim.run)
        state = claim.state
        if any(u.kind & Kind.BATCH and u.source for u in claim.outputs):
            state |= State.RECEIVES
        if any(u.mode & _NEEDS_NONE for u in claim.outputs):
            state |= State.EMPTIES
        finished = at if state & (State.COMPLETE | State.FAIL | State.ABORT) else None
        if found is None:
            self._runs[claim.run] = _Run(
                claim.namespace,
                claim.job,
                claim.producer,
                at,
                at,
                finished,
                int(state),
                learns,
                wrote,
                claim.purpose,
            )
            return
        found.namespace = min(found.namespace, claim.namespace)
        found.job = min(found.job, claim.job)
        found.producer = min(found.producer, claim.producer)
        found.started_at = min(found.started_at, at)
        found.ended_at = max(found.ended_at, at)
        found.finished_at = max(filter(None, (found.finished_at, finished)), default=None)
        found.states |= int(state)
        found.reads |= learns
        found.writes |= wrote
        found.purpose = max(found.purpose, claim.purpose)

    def same(self, one: Name, other: Name) -> None:
        """Takes that two names are of the same dataset."""
        for name in (one, other):
            self.names.setdefault(name, 0)
        if one != other:
            self._same.add((min(one, other), max(one, other)))

    def _named(self, used: Used) -> Name:
        key = used.namespace, used.name
        name = self._spelled.get(key)
        if name is None:  # the same few again and again
            name = self._spelled[key] = self.spell.spell(*key)
        self.names[name] = self.names.get(name, 0) | used.kind
        for other in used.symlinks:
            self.same(name, self.spell.spell(*other))
        return name

    def _read(self, claim: Claim, used: Used, at: int) -> bool:
        """Takes an input; whether something may have been learned from it."""
        name = self._named(used)
        learns = not used.role.startswith("~")
        basis = _KNOWN if learns else _MEASURED
        versions, parts = _points(name, used)
        for version in versions:
            self._version(name, version, used, at, written=False)
            key = (name, version, claim.run)
            self._reads[key] = min(self._reads.get(key, basis), basis)
            self.edges += 1
        for part in parts:
            self.names.setdefault(part, 0)
            self._access(part, claim.run, used, Mode.UNNAMED, writes=False, version="")
            self.edges += 1
        if not versions and not parts:
            mode = Mode.UNNAMED | (Mode.SUMMED if used.parts else Mode(0))
            self._access(name, claim.run, used, mode, writes=False, version="")
            self.edges += 1
        return learns

    def _wrote(self, claim: Claim, used: Used, at: int) -> bool:
        """Takes an output; whether it is one that others tell of."""
        name = self._named(used)
        ours = dataset_in_store(name) or source_in_store(name)
        if ours and not claim.state & State.LEDGER:
            self.ours += 1
            return False
        mode = Mode(used.mode)
        mode |= Mode.AS_BATCH if used.kind & Kind.BATCH else Mode(0)
        mode |= Mode.AS_MODEL if used.kind & Kind.MODEL else Mode(0)
        if mode & Mode.RENAMED and used.renamed_from is not None:
            self._renamed(claim, used, self.spell.spell(*used.renamed_from))
        # Who measured a model did not make it: where it comes from is told by others, or by nobody.
        made = not (claim.measures and used.kind & Kind.MODEL)
        versions, parts = _points(name, used)
        for version in versions:
            self._version(name, version, used, at, written=made)
            if not mode & Mode.DROPPED:
                self._writes.add((claim.run, name, version))
            self._access(name, claim.run, used, mode, writes=True, version=version)
            self.edges += 1
        for part in parts:
            self.names.setdefault(part, 0)
            self._access(part, claim.run, used, mode | Mode.UNNAMED, writes=True, version="")
            self.edges += 1
        if not versions and not parts:
            self._access(name, claim.run, used, mode | Mode.UNNAMED, writes=True, version="")
            self.edges += 1
        return made and not mode & _NEEDS_NONE

    def _renamed(self, claim: Claim, used: Used, before: Name) -> None:
        """What a table had held under its old name is read there, and is gone there."""
        self.names.setdefault(before, 0)
        self._access(before, claim.run, used, Mode.UNNAMED, writes=False, version="")
        dropped = Mode.DROPPED | Mode.UNNAMED
        self._access(before, claim.run, used, dropped, writes=True, version="")

    def _access(
        self, name: Name, run: str, used: Used, mode: Mode, *, writes: bool, version: str
    ) -> None:
        renamed = None
        if writes and used.renamed_from is not None and not mode & Mode.DROPPED:
            renamed = self.spell.spell(*used.renamed_from)
        found = self._accesses.get((name, run, writes, version))
        if found is None:
            self._accesses[name, run, writes, version] = _Access(int(mode), renamed, used.role)
        else:
            found.modes |= int(mode)
            found.role = min(found.role, used.role)
            both = [each for each in (found.renamed_from, renamed) if each is not None]
            found.renamed_from = min(both) if both else None
        self._tables.add(name)

    def _version(self, name: Name, version: str, used: Used, at: int, *, written: bool) -> None:
        found = self._versions.get((name, version))
        if found is None:
            self._versions[name, version] = _Version(
                int(used.kind),
                at,
                at,
                written,
                used.source,
                _maybe(used.t_from),
                _maybe(used.t_to),
                _maybe(used.received_at),
                used.digest,
                used.rows,
            )
        else:
            found.kinds |= used.kind
            found.first_at = min(found.first_at, at)
            found.last_at = max(found.last_at, at)
            found.written |= written
            found.source = _least(found.source, used.source)
            found.t_from = _least(found.t_from, _maybe(used.t_from))
            found.t_to = _least(found.t_to, _maybe(used.t_to))
            found.received_at = _least(found.received_at, _maybe(used.received_at))
            found.digest = _least(found.digest, used.digest)
            found.rows = _least(found.rows, used.rows)
        if not used.kind & _INDEPENDENT:
            self._tables.add(name)

    def write(self, connection: Connection) -> None:
        """Merges it into the catalog, inside the connection's transaction."""
        renamed = [a.renamed_from for a in self._accesses.values() if a.renamed_from is not None]
        for name in renamed:
            self.names.setdefault(name, 0)
        ids = self._write_names(connection)
        clocks = self._clocks(connection)
        told = tells_starts(connection, clocks)
        runs, states = self._write_runs(connection)
        telling = tells_starts(connection, clocks)
        self._write_gaps(connection, telling)
        versions = self._write_versions(connection, ids)
        self._write_accesses(connection, ids, runs, versions)
        self._write_links(connection, runs, versions, states)
        mark_habits(connection, telling - told, told - telling)
        unite(connection, [(ids[one], ids[other]) for one, other in self._same])
        unite_shared(connection, ids)
        tables = {name.name.partition(PART)[0] for name in ids if PART in name.name}
        named = {name for pair in self._same for name in pair}
        unite_parts(connection, [i for n, i in ids.items() if n in named or n.name in tables])
        mark_shared(connection, list(ids.values()))
        mark_around(
            connection,
            [ids[name] for name in self._tables],
            list(states),
            {ids[name] for name, _ in self._versions},
        )
        note_change(connection)

    def _clocks(self, connection: Connection) -> set[Clock]:
        """Whose clock the runs are by, before and after they are merged with what is there."""
        before = clocks_of(connection, self._runs)
        found = set(before.values())
        for id_, run in self._runs.items():
            namespace, producer = before.get(id_, (run.namespace, run.producer))
            found.add((min(namespace, run.namespace), min(producer, run.producer)))
        return found

    def _write_names(self, connection: Connection) -> dict[Name, int]:
        values = [(*name, types, 0, False) for name, types in self.names.items()]
        found = list(rows.merge(connection, _NAMES, values))
        rows.settle(connection, [row[0] for row in found if row[3] == 0])
        return {Name(namespace, name): id_ for id_, namespace, name, _ in found}

    def _write_runs(self, connection: Connection) -> tuple[dict[str, int], dict[int, State]]:
        values = [
            (
                run,
                r.namespace,
                r.job,
                r.producer,
                r.started_at,
                r.ended_at,
                r.finished_at,
                r.states,
                r.reads,
                r.writes,
                r.purpose,
            )
            for run, r in self._runs.items()
        ]
        ids: dict[str, int] = {}
        states: dict[int, State] = {}
        self._merged = list(rows.merge(connection, _RUNS, values))
        for merged in self._merged:
            ids[merged[1]], states[merged[0]] = merged[0], State(merged[2])
        return ids, states

    def _write_gaps(self, connection: Connection, telling: set[Clock]) -> None:
        """Says which of the runs hide something."""
        gaps: list[tuple[int, str, int, int | None]] = []
        whole: list[int] = []
        for id_, _, bits, reads, writes, ended, finished, namespace, producer in self._merged:
            state = State(bits)
            open_ = is_open(state, ended, finished)
            until = None if open_ else ended
            whole.append(run_end(id_))
            kinds = _gaps_of_run(state, open_, reads=bool(reads), writes=bool(writes))
            if (namespace, producer) in telling and writes and not state & _BEGUN:
                kinds.append(Gap.NO_START)
            gaps += [(run_end(id_), kind, 0, until) for kind in kinds]
        rows.replace_gaps(connection, whole, gaps)

    def _write_versions(self, connection: Connection, ids: dict[Name, int]) -> dict[Point, int]:
        values = [
            (
                ids[name],
                version,
                v.kinds,
                v.first_at,
                v.last_at,
                v.written,
                v.source,
                v.t_from,
                v.t_to,
                v.received_at,
                v.digest,
                v.rows,
            )
            for (name, version), v in self._versions.items()
        ]
        names = {id_: name for name, id_ in ids.items()}
        found: dict[Point, int] = {}
        gaps: list[tuple[int, str, int, int | None]] = []
        whole: list[int] = []
        for id_, name, version, written, source, last in rows.merge(connection, _VERSIONS, values):
            spelled = names[name]
            found[spelled, version] = id_
            if dataset_in_store(spelled) or source_in_store(spelled):
                continue  # the ledger tells what it is
            whole.append(version_end(id_))
            if not written and source is None:
                gaps.append((version_end(id_), Gap.VERSION, 0, last))
        rows.replace_gaps(connection, whole, gaps)
        return found

    def _write_accesses(
        self,
        connection: Connection,
        ids: dict[Name, int],
        runs: dict[str, int],
        versions: dict[Point, int],
    ) -> None:
        values = [
            (
                ids[name],
                runs[run],
                writes,
                versions[name, version] if version else 0,
                a.modes,
                None if a.renamed_from is None else ids[a.renamed_from],
                a.role,
            )
            for (name, run, writes, version), a in self._accesses.items()
        ]
        rows.run(connection, _ACCESSES, values)

    def _write_links(
        self,
        connection: Connection,
        runs: dict[str, int],
        versions: dict[Point, int],
        states: dict[int, State],
    ) -> None:
        reads = [
            (version_end(versions[name, version]), run_end(runs[run]), 0, basis, 0)
            for (name, version, run), basis in self._reads.items()
        ]
        writes = [
            (run_end(runs[run]), version_end(versions[name, version]), 0, 0, 0)
            for run, name, version in self._writes
        ]
        rows.run(connection, rows.LINKS, reads + writes)
        happened = {run_end(id_): state.happened for id_, state in states.items()}
        rows.rebase(connection, happened)


def micros(moment: datetime) -> int:
    """Microseconds since 1970."""
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


def fold(spell: Names, claims: Iterable[Claim]) -> Folded:
    """Merges claims."""
    folded = Folded(spell)
    for claim in claims:
        folded.add(claim)
    return folded


def _points(name: Name, used: Used) -> tuple[Sequence[str], Sequence[Name]]:
    """The versions, and the partitions, that an event names of a dataset."""
    if used.kind & _BATCH or source_in_store(name):
        return used.parts or ((used.version,) if used.version else ()), ()
    versions = (used.version,) if used.version else ()
    if not used.parts or dataset_in_store(name) or len(used.parts) > MOST_PARTS:
        return versions, ()  # the ledger knows which batches a version holds
    return versions, [Name(name.namespace, f"{name.name}{PART}{part}") for part in used.parts]


def _gaps_of_run(state: State, open_: bool, *, reads: bool, writes: bool) -> list[str]:
    if state & (State.LEDGER | State.RECEIVES):
        return []
    if writes and not reads:
        return [] if state & State.EMPTIES else [Gap.NO_INPUTS]
    return [Gap.OPEN_RUN] if open_ and reads and not writes else []


def _maybe(moment: datetime | None) -> int | None:
    return None if moment is None else micros(moment)


def _least(one: _T | None, other: _T | None) -> _T | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)


def _either(column: str, which: str = "smaller") -> str:
    """The smaller or larger of two values, of which each may be missing."""
    there, new = f'{{t}}."{column}"', f'excluded."{column}"'
    return (
        f'"{column}" = CASE WHEN {there} IS NULL THEN {new} WHEN {new} IS NULL THEN {there} '
        f"ELSE {{{which}}}({there}, {new}) END"
    )


def _unless_made(column: str, which: str) -> str:
    """The smaller or larger of two values, unless a rule made the row that is there."""
    return (
        f"{column} = CASE WHEN {{t}}.kinds & {int(Kind.MADE)} <> 0 THEN excluded.{column} "
        f"ELSE {{{which}}}({{t}}.{column}, excluded.{column}) END, "
    )


_NAMES = rows.Merge(
    "lineage_name",
    ("namespace", "name", "types", "same_as", "stale"),
    ("namespace", "name"),
    "types = {t}.types | excluded.types",
    ("id", "namespace", "name", "same_as"),
)
_RUNS = rows.Merge(
    "lineage_run",
    (
        "run",
        "namespace",
        "job",
        "producer",
        "started_at",
        "ended_at",
        "finished_at",
        "states",
        "reads",
        "writes",
        "purpose",
    ),
    ("run",),
    "namespace = {smaller}({t}.namespace, excluded.namespace), "
    "job = {smaller}({t}.job, excluded.job), "
    "producer = {smaller}({t}.producer, excluded.producer), "
    "started_at = {smaller}({t}.started_at, excluded.started_at), "
    "ended_at = {larger}({t}.ended_at, excluded.ended_at), "
    + _either("finished_at", "larger")
    + ", states = {t}.states | excluded.states, "
    'reads = {t}."reads" OR excluded."reads", writes = {t}."writes" OR excluded."writes", '
    "purpose = {larger}({t}.purpose, excluded.purpose)",
    (
        "id",
        "run",
        "states",
        "reads",
        "writes",
        "ended_at",
        "finished_at",
        "namespace",
        "producer",
    ),
)
_VERSIONS = rows.Merge(
    "lineage_version",
    (
        "name",
        "version",
        "kinds",
        "first_at",
        "last_at",
        "written",
        "source",
        "t_from",
        "t_to",
        "received_at",
        "digest",
        "rows",
    ),
    ("name", "version"),
    # What a rule had made is now named by an event, and is as the event says.
    f"kinds = ({{t}}.kinds | excluded.kinds) & ~{int(Kind.MADE)}, "
    + _unless_made("first_at", "smaller")
    + _unless_made("last_at", "larger")
    + "written = {t}.written OR excluded.written, "
    + ", ".join(map(_either, ("source", "t_from", "t_to", "received_at", "digest", "rows"))),
    ("id", "name", "version", "written", "source", "last_at"),
)
_ACCESSES = rows.Merge(
    "lineage_access",
    ("name", "run", "writes", "version", "modes", "renamed_from", "role"),
    ("name", "run", "writes", "version"),
    "modes = {t}.modes | excluded.modes, role = {smaller}({t}.role, excluded.role), "
    + _either("renamed_from"),
)
