"""Who was told of a dataset's versions: each version is announced once, whoever made it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa

from lazaretto.dataset.state import VersionEvent
from lazaretto.ledger.chain import append, entries, newest
from lazaretto.ledger.cover import covering
from lazaretto.ledger.events import BatchAdmitted, RecordsRecalled, VersionAnnounced
from lazaretto.storage import tables

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import Actor

What = Literal["admitted", "published", "recalled", "lost"]


@dataclass(frozen=True, slots=True)
class News:
    """A version of a dataset, as those who train on it are told.

    Attributes:
        dataset: its name.
        version: Delta version.
        what: what made it.
        batch: whose records entered; None where records left.
        rows: how many records entered, or left.
        made: ledger entry that made it.
        at: when, UTC.
        actor: who did it.
    """

    dataset: str
    version: int
    what: What
    batch: str | None
    rows: int
    made: int
    at: datetime
    actor: Actor


def was_announced(workspace: Workspace, dataset: str, made: int) -> bool:
    """Whether a version was announced, so that telling it again would start work on nothing new.

    Args:
        workspace: catalog and store.
        dataset: its name.
        made: ledger entry that made the version.
    """
    with workspace.catalog.read() as connection:
        return _find(connection, dataset, made)


def record_announced(workspace: Workspace, dataset: str, version: int, made: int) -> int | None:
    """Puts on record that a version was announced.

    Args:
        workspace: catalog and store; whoever acts through it has announced it.
        dataset: its name.
        version: Delta version.
        made: ledger entry that made it.

    Returns:
        The ledger entry; None where it was on record already.
    """
    with workspace.catalog.transaction() as connection:
        if _find(connection, dataset, made):
            return None
        event = VersionAnnounced(dataset, version, made)
        return append(connection, event, actor=workspace.actor).seq


def unannounced(workspace: Workspace, dataset: str, *, limit: int = 100) -> list[News]:
    """Versions that nobody announced yet, oldest first, behind the newest that was announced.

    Where none was ever announced, that is the newest version alone: what is trained on is the whole
    dataset, and not what each version added.

    Args:
        workspace: catalog and store.
        dataset: its name.
        limit: at most so many.

    Raises:
        ChangedStateError: the catalog does not say what the ledger says.
    """
    with workspace.catalog.read() as connection:
        last = _newest_announced(connection, dataset)
        found: dict[int, News] = {}
        for table in (tables.admission, tables.recall, tables.lost_part):
            query = sa.select(table).where(table.c.dataset == dataset)
            if last is None:
                query = query.order_by(table.c.seq.desc()).limit(1)
            else:
                query = query.where(table.c.seq > last).order_by(table.c.seq).limit(limit)
            for row in connection.execute(query).all():
                entry = covering(connection, table.name, f"{dataset}@{row.version}", row)
                told = _find(connection, dataset, entry.seq)  # two tasks may tell in either order
                if isinstance(entry.event, VersionEvent) and not told:
                    found[entry.seq] = _news(entry, entry.event)
    in_order = [found[made] for made in sorted(found)]
    return in_order[-1:] if last is None else in_order[:limit]


def _news(entry: Entry, event: VersionEvent) -> News:
    if isinstance(event, BatchAdmitted):
        what: What = "admitted" if event.case is None else "published"
        batch, rows = event.batch, event.rows
    elif isinstance(event, RecordsRecalled):
        what, batch, rows = "recalled", None, event.records
    else:
        what, batch, rows = "lost", None, sum(part.rows for part in event.parts)
    return News(event.dataset, event.version, what, batch, rows, entry.seq, entry.at, entry.actor)


def _find(connection: Connection, dataset: str, made: int) -> bool:
    """Looks only behind the entry that made the version: nobody announced it before."""
    found = entries(
        connection, after=made, subject=f"dataset:{dataset}", kinds=[VersionAnnounced.kind]
    )
    return any(
        isinstance(entry.event, VersionAnnounced) and entry.event.made == made for entry in found
    )


def _newest_announced(connection: Connection, dataset: str) -> int | None:
    """The entry that made the version that was announced last."""
    found = newest(connection, f"dataset:{dataset}", [VersionAnnounced.kind])
    return found.event.made if found and isinstance(found.event, VersionAnnounced) else None
