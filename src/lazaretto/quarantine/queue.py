"""How long reviews have waited: how many cases are open, and since when the oldest is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.storage.tables import case

if TYPE_CHECKING:
    from datetime import datetime

    from lazaretto.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Queue:
    """Cases that wait for people.

    Attributes:
        cases: how many are open.
        oldest: when the one was opened that waits longest, UTC; None: none is open.
    """

    cases: int
    oldest: datetime | None


def review_queue(workspace: Workspace) -> Queue:
    """The queue as the catalog's rows tell it: a figure to watch, by which nothing is decided."""
    query = sa.select(sa.func.count(), sa.func.min(case.c.opened_at)).where(case.c.state == "OPEN")
    with workspace.catalog.read() as connection:
        cases, oldest = connection.execute(query).one()
    return Queue(cases, oldest)
