"""A lease on a task that one process at a time should do, kept in the catalog.

It holds no transaction open while the task runs, and runs out by itself when its holder dies. What
it says is the moment at which it ends, by its holder's clock, and who that is. Clocks differ: a
lease that claims to end later than any lease could was taken by a clock that is far ahead (or by
nobody), and is void. If clocks differ by about as much as a lease lasts, two may do the task at
once: it must bear that.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.storage.tables import projection

if TYPE_CHECKING:
    from lazaretto.storage.catalog import Catalog

_SECONDS = 120
# Its own length, and as much again for a holder whose clock is ahead.
_LONGEST = 2 * _SECONDS
_NANO = 10**9


@dataclass(frozen=True, slots=True)
class Held:
    """A lease that somebody else has.

    Attributes:
        holder: host and process.
        until: when it ends at the latest, UTC.
    """

    holder: str
    until: datetime


def acquire(catalog: Catalog, task: str) -> int | Held:
    """Takes the lease and returns it, or who has it."""
    row, now = f"{task}.lease", time.time_ns()
    with catalog.transaction() as connection:
        found = connection.execute(
            sa.select(projection.c.seq, projection.c.holder).where(projection.c.name == row)
        ).one_or_none()
        mine = {"seq": now + _SECONDS * _NANO, "holder": _myself()}
        if found is None:
            connection.execute(projection.insert().values(name=row, **mine))
        elif now < found.seq <= now + _LONGEST * _NANO:
            until = datetime.fromtimestamp(found.seq // _NANO, UTC)
            return Held(found.holder or "another process", until)
        else:
            connection.execute(projection.update().where(projection.c.name == row).values(mine))
    return now + _SECONDS * _NANO


def renew(catalog: Catalog, task: str, lease: int) -> int | None:
    """Extends the lease and returns the new one; None: it ran out and somebody else has it."""
    new = time.time_ns() + _SECONDS * _NANO
    return new if _replace(catalog, task, lease, new) else None


def release(catalog: Catalog, task: str, lease: int) -> None:
    """Gives the lease back, unless it ran out."""
    _replace(catalog, task, lease, 0)


def _replace(catalog: Catalog, task: str, lease: int, new: int) -> bool:
    with catalog.transaction() as connection:
        changed = connection.execute(
            projection.update()
            .where(projection.c.name == f"{task}.lease", projection.c.seq == lease)
            .values(seq=new)
        )
    return changed.rowcount == 1


def _myself() -> str:
    return f"{socket.gethostname()}, process {os.getpid()}"[:255]
