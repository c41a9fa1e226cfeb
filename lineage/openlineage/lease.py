"""A lease on a task that one process at a time should do, kept in the catalog.

It holds no transaction open while the task runs, and runs out by itself when its holder dies. If
clocks differ by more than the lease, two may do the task at once: it must bear that.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lazaretto.storage.tables import projection

if TYPE_CHECKING:
    from lazaretto.storage.catalog import Catalog

_SECONDS = 120


def acquire(catalog: Catalog, task: str) -> int | None:
    """Takes the lease and returns it; None: somebody else has it."""
    row, now = f"{task}.lease", time.time_ns()
    with catalog.transaction() as connection:
        until = connection.scalar(
            projection.select().with_only_columns(projection.c.seq).where(projection.c.name == row)
        )
        if until is None:
            connection.execute(projection.insert().values(name=row, seq=_end(now)))
        elif until > now:
            return None
        else:
            connection.execute(
                projection.update().where(projection.c.name == row).values(seq=_end(now))
            )
    return _end(now)


def renew(catalog: Catalog, task: str, lease: int) -> int | None:
    """Extends the lease and returns the new one; None: it ran out and somebody else has it."""
    new = _end(time.time_ns())
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


def _end(now: int) -> int:
    return now + _SECONDS * 10**9
