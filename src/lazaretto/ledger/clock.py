"""Clocks: entries whose time is before that of the entry before them are named, never refused.

The order of the ledger is that of its numbers. Its times are what each machine's clock said. A
clock that is behind would refuse nobody's work: were one ahead once, all others would be behind.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.ledger.report import ClockStep
from lazaretto.storage.tables import ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

USUAL = timedelta(seconds=1)
"""How far the clocks of machines that keep time are apart."""
_log = logging.getLogger("lazaretto.ledger")


def warn_when_behind(seq: int, at: datetime, before: str) -> None:
    """Says on the log that this machine's clock is behind that of whoever wrote the last entry.

    Args:
        seq: number of the new entry.
        at: its time.
        before: time of the last one, ISO 8601.
    """
    behind = _behind(at, before)
    if behind is not None:
        _log.warning(
            "the clock of this machine is %s behind the ledger: entry %d gets the time %s, which "
            "is earlier than that of the last entry, %s; one of the two clocks is wrong",
            behind, seq, at.isoformat(timespec="seconds"), before,
        )  # fmt: skip


def clock_steps(connection: Connection) -> Iterator[ClockStep]:
    """Every entry whose time is more than a second before that of the entry before it, in order."""
    last = ledger.alias("last")
    query = (
        sa.select(ledger.c.seq, ledger.c.at, ledger.c.actor_id, last.c.at.label("before"))
        .join(last, ledger.c.seq == last.c.seq + 1)
        .where(ledger.c.at < last.c.at)
        .order_by(ledger.c.seq)
    )
    for row in connection.execute(query):
        try:
            behind = _behind(datetime.fromisoformat(row.at), row.before)
        except ValueError:
            continue  # edited: the chain does not hold, which is told elsewhere
        if behind is not None:
            yield ClockStep(row.seq, row.at, row.before, row.actor_id)


def _behind(at: datetime, before: str) -> timedelta | None:
    try:
        behind = datetime.fromisoformat(before) - at
    except (ValueError, TypeError):
        return None
    return timedelta(seconds=round(behind.total_seconds())) if behind > USUAL else None
