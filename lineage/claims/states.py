"""Turns what is known of who wrote a dataset into the states of a timeline."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lazaretto.lineage.claims.bits import Kind, Mode, State, run_end, version_end
from lazaretto.lineage.claims.table import clock_of, runs_on
from lazaretto.lineage.claims.timeline import EVER, NEVER, TOLERANCE, Replaces, TableState

if TYPE_CHECKING:
    from collections.abc import Container

    from lazaretto.lineage.claims.table import Access, Dataset, Version

MOST_COUNTED = 10**9
_ORDER = (Replaces.MAYBE, Replaces.NO, Replaces.CREATED, Replaces.YES)


@dataclass(frozen=True, slots=True)
class Nameless:
    """A version that has no name yet: a run wrote it and named none, or numbers leave it out.

    Attributes:
        key: of its state.
        name: id of the name that it is of.
        kind: what it is.
        at: when it was there, at the latest.
        holds: end of links whose content it has; None: nobody knows it.
        happened: whether it is known to be there.
    """

    key: str
    name: int
    kind: Kind
    at: int
    holds: int | None
    happened: bool = True


def states_of(dataset: Dataset, known: Container[str]) -> tuple[list[TableState], list[Nameless]]:
    """The states of a dataset, and those of their versions that have no name yet.

    Args:
        dataset: as it was read.
        known: versions that nobody is known to have written under this name, but under another.

    Returns:
        States; those of `Nameless` versions have the node 0, until it is made.
    """
    texts = {version.id: version.version for version in dataset.versions}
    written = {version.id for version in dataset.versions if version.written}
    counts = all(number_of(text) is not None for text in texts.values())
    named = {row.run for row in dataset.writes if row.version}
    made: dict[str, TableState] = {}
    nameless: dict[str, Nameless] = {}
    # Of a run that writes the table by two of its names, the state is called by the first of them.
    for row in sorted(dataset.writes, key=lambda row: dataset.spelled(row.name), reverse=True):
        mode = Mode(row.modes)
        if mode & Mode.UNNAMED and row.run in named and not mode & Mode.DROPPED:
            continue  # another event of the run named the version
        if row.version in written and _only_measured(row):
            continue  # it was there before
        state = state_of(row, mode, dataset.starts[row.run])
        if mode & Mode.DROPPED:
            state = replace(state, key=f"drop:{row.uuid}", node=None, replaces=Replaces.YES)
        elif row.version:
            text = texts[row.version]
            number = number_of(text) if counts else None
            state = replace(state, key=text, node=version_end(row.version), number=number)
        else:
            state = replace(state, key=f"run:{row.uuid}")
            nameless[state.key] = _nameless(row, state, mode)
            for passed, node in _passed(dataset, row):
                made[passed.key] = passed
                at, holds = passed.end, version_end(node)
                nameless[passed.key] = Nameless(passed.key, row.name, Kind.TABLE, at, holds)
        made[state.key] = joined(made.get(state.key), state)
    for row in dataset.wipes:
        state = state_of(row, Mode(row.modes), dataset.starts[row.run])
        key = f"drop:{row.uuid}"
        made[key] = replace(state, key=key, node=None, replaces=Replaces.YES)
    # A batch, and a version of a model, holds nothing of those before, whoever made it.
    alone = dataset.pure in (Kind.BATCH, Kind.MODEL)
    for version in dataset.versions:
        if not version.written and version.version not in made:
            made[version.version] = _unwritten(version, counts, alone or version.version in known)
    if alone:
        return list(made.values()), list(nameless.values())
    first = min(dataset.names, key=dataset.spelled)
    renames = [
        state_of(row, Mode(row.modes), dataset.starts[row.run])
        for row in dataset.writes
        if row.modes & Mode.RENAMED
    ]
    for missing in _missing(list(made.values()), renames) if counts else ():
        made[missing.key] = missing
        at = missing.end
        nameless[missing.key] = Nameless(missing.key, first, Kind.TABLE, at, None)
    return list(made.values()), list(nameless.values())


def _passed(dataset: Dataset, row: Access) -> list[tuple[TableState, int]]:
    moments = dataset.moments.get(row.run)
    if moments is None:
        return []
    return list(moments.states(run_end(row.run), clock_of(row), row.uuid))


def _only_measured(row: Access) -> bool:
    """Whether a run names a model as its output that it only measured, and others had made."""
    measures = row.purpose == "EVAL" and not State(row.states) & State.LEDGER
    return measures and bool(row.modes & Mode.AS_MODEL)


def _nameless(row: Access, state: TableState, mode: Mode) -> Nameless:
    kind = Kind.MODEL if mode & Mode.AS_MODEL else Kind.TABLE
    return Nameless(state.key, row.name, kind, row.ended_at, run_end(row.run), state.happened)


def _unwritten(version: Version, counts: bool, known: bool) -> TableState:
    """A version that somebody read, and nobody is known to have made."""
    return TableState(
        key=version.version,
        node=version_end(version.id),
        run=0,
        number=number_of(version.version) if counts else None,
        start=EVER,
        end=version.first_at,
        clock="",
        replaces=Replaces.YES if known else Replaces.MAYBE,
    )


def _missing(states: list[TableState], renames: list[TableState]) -> list[TableState]:
    """States for the numbers that are left out: counting starts at 0 or 1.

    With a RENAME numbers go on from those under another name: what is left out there, is no gap.
    """
    numbered = sorted((s for s in states if s.number is not None), key=lambda s: s.number or 0)
    nameless = [s for s in states if s.number is None and s.node is not None and s.happened]
    found = []
    number, since, run = 0, EVER, 0
    for state in numbered:
        assert state.number is not None  # noqa: S101  as they were chosen
        between = sum(1 for other in nameless if since <= other.end <= state.end)
        # What is missing before a version that nobody is known to have made is part of that gap.
        went_on = any(
            since <= other.end + TOLERANCE and other.start <= state.end + TOLERANCE
            for other in renames
            if other.run != run
        )
        if state.run and state.number > number + 1 + between and not went_on:
            key = f"missing:{state.number - 1}"
            found.append(
                TableState(
                    key, 0, 0, state.number - 1, EVER, state.end, "",
                    replaces=Replaces.MAYBE, missing=True,
                )
            )  # fmt: skip
        number, since, run = state.number, state.end, state.run
    return found


def joined(known: TableState | None, state: TableState) -> TableState:
    """Several runs that name the same version: it was there when the first one ended."""
    if known is None:
        return state
    happened = known.happened or state.happened
    kept = [each for each in (known, state) if each.happened == happened]
    first = min(kept, key=lambda each: (each.end, each.run))
    return replace(
        first,
        start=min(each.start for each in kept),
        end=max(each.end for each in kept),
        clock=first.clock if len({each.clock for each in kept}) == 1 else "",
        replaces=min((each.replaces for each in kept), key=_ORDER.index),
    )


def state_of(row: Any, mode: Mode, start: int) -> TableState:
    """The state that a run made, without what it is called.

    Args:
        row: of `lineage_access`, with its run.
        mode: how it was written.
        start: when the run began.
    """
    states = State(row.states)
    replaces = Replaces.NO
    if mode & (Mode.REPLACED | Mode.RENAMED):
        replaces = Replaces.YES
    elif mode & Mode.CREATED:
        replaces = Replaces.CREATED
    elif mode & Mode.AS_MODEL:
        replaces = Replaces.YES
    if not states.happened and runs_on(row) and replaces is Replaces.NO:
        replaces = Replaces.MAYBE  # how it writes may be told at its end
    return TableState(
        key="",
        node=0,
        run=run_end(row.run),
        number=None,
        start=start,
        end=NEVER if runs_on(row) else row.ended_at,
        clock=clock_of(row),
        happened=states.happened,
        replaces=replaces,
    )


def number_of(text: str) -> int | None:
    """The number that a version counts by; None: it does not count."""
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(MOST_COUNTED)) - 1:
        return None
    return int(text)
