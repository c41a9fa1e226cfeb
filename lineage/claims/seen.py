"""Finds versions that somebody had read, by their name, before the run that made them ended."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.lineage.claims.bits import State, is_open
from lazaretto.lineage.claims.timeline import NEVER, TOLERANCE, TableState
from lazaretto.storage.bulk import among
from lazaretto.storage.tables import lineage_link, lineage_run

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


def seen_early(connection: Connection, states: list[TableState]) -> list[TableState]:
    """Says of states by when somebody had read them, where their run went on after that.

    A run may write in its first minute and end hours later. What came to the table meanwhile is not
    in its version then, which who read it before can tell.

    Args:
        connection: of the catalog.
        states: of one table.

    Returns:
        The states, in the same order, each with its `TableState.seen`.
    """
    # Others order themselves: by numbers, or by the seconds in which they were made.
    asked = {
        state.node: state
        for state in states
        if state.node is not None and state.run and state.number is None and _is_long(state)
    }
    if len(states) < 2 or not asked:
        return states
    link, run = lineage_link.c, lineage_run.c
    query = (
        sa.select(link.src, run.ended_at, run.finished_at, run.states)
        .join(lineage_run, run.id == link.dst // 2)
        .where(among(connection, link.src, sorted(asked)), link.owner == 0)
    )
    seen: dict[int, int] = {}
    for src, ended, finished, bits in connection.execute(query):
        if not is_open(State(bits), ended, finished) and not State(bits) & State.LEDGER:
            seen[src] = min(seen.get(src, NEVER), ended)
    return [
        replace(state, seen=seen[state.node])
        if state.node in seen and seen[state.node] + TOLERANCE < asked[state.node].end
        else state
        for state in states
    ]


def _is_long(state: TableState) -> bool:
    return state.happened and state.end < NEVER and state.end - state.start > TOLERANCE
