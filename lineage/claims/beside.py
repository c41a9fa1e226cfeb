"""What a reader of a partition found in the whole table, and one of the table in its partitions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lazaretto.lineage.claims.bits import Mode
from lazaretto.lineage.claims.names import PART
from lazaretto.lineage.claims.states import state_of
from lazaretto.lineage.claims.timeline import NEVER, surely_after, surely_before

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lazaretto.lineage.claims.table import Dataset
    from lazaretto.lineage.claims.timeline import Reader, TableState


def with_gaps(dataset: Dataset) -> list[Reader]:
    """The readers of a dataset, and of whom it is a gap that no state of it is known.

    It is none where the table as a whole, or one of its partitions, had been written by then and
    was not dropped since: that is read, too.

    Args:
        dataset: as it was read.
    """
    if not dataset.beside:
        return dataset.readers
    beside: dict[int, list[TableState]] = {}
    for row in dataset.beside:
        state = state_of(row, Mode(row.modes), dataset.starts[row.run])
        dropped = bool(row.modes & Mode.DROPPED)
        beside.setdefault(dataset.roots[row.name], []).append(
            replace(state, node=None) if dropped else state
        )
    if not any(PART in name.name for name in dataset.names.values()):
        for row in dataset.writes:  # what drops a table drops its partitions
            if row.modes & Mode.DROPPED:
                state = state_of(row, Mode(row.modes), dataset.starts[row.run])
                for states in beside.values():
                    states.append(replace(state, node=None))
    return [
        replace(reader, gap=not any(_holds(states, reader) for states in beside.values()))
        if reader.gap
        else reader
        for reader in dataset.readers
    ]


def _holds(states: Iterable[TableState], reader: Reader) -> bool:
    """Whether some table may have held something when somebody read it."""
    gone: dict[str, TableState] = {}  # by clock, the last of those after which nothing was there
    for state in states:
        if state.node is None and state.happened and surely_before(state, reader):
            last = gone.get(state.clock)
            if state.end < NEVER and (last is None or state.start > last.start):
                gone[state.clock] = state
    return any(
        not surely_after(state, reader)
        and not any(surely_before(state, drop) for drop in gone.values())
        for state in states
        if state.node is not None
    )
