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
        at: when, UTC.
        actor: who did it.
    """

    dataset: str
    version: int
    what: What
    batch: str | None
    rows: int
    at: datetime
    actor: Actor


def was_announced(workspace: Workspace, dataset: str, version: int) -> bool:
    """Whether a version was announced, so that telling it again would start work on nothing new."""
    with workspace.catalog.read() as connection:
        return _find(connection, dataset, version)


def record_announced(workspace: Workspace, dataset: str, version: int) -> int | None:
    """Puts on record that a version was announced.

    Args:
        workspace: catalog and store; whoever acts through it has announced it.
        dataset: its name.
        version: Delta version.

    Returns:
        The ledger entry; None where it was on record already.
    """
    with workspace.catalog.transaction() as connection:
        if _find(connection, dataset, version):
            return None
        event = VersionAnnounced(dataset, version)
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
                query = query.order_by(table.c.version.desc()).limit(1)
            else:
                query = query.where(table.c.version > last).order_by(table.c.version).limit(limit)
            for row in connection.execute(query).all():
                entry = covering(connection, table.name, f"{dataset}@{row.version}", row)
                if isinstance(entry.event, VersionEvent):
                    found[entry.event.version] = _news(entry, entry.event)
    in_order = [found[version] for version in sorted(found)]
    return in_order[-1:] if last is None else in_order[:limit]


def _news(entry: Entry, event: VersionEvent) -> News:
    if isinstance(event, BatchAdmitted):
        what: What = "admitted" if event.case is None else "published"
        batch, rows = event.batch, event.rows
    elif isinstance(event, RecordsRecalled):
        what, batch, rows = "recalled", None, event.records
    else:
        what, batch, rows = "lost", None, sum(part.rows for part in event.parts)
    return News(event.dataset, event.version, what, batch, rows, entry.at, entry.actor)


def _find(connection: Connection, dataset: str, version: int) -> bool:
    found = entries(
        connection,
        subject=f"dataset:{dataset}",
        kinds=[VersionAnnounced.kind],
        newest_first=True,
    )
    return any(
        isinstance(entry.event, VersionAnnounced) and entry.event.version == version
        for entry in found
    )


def _newest_announced(connection: Connection, dataset: str) -> int | None:
    found = newest(connection, f"dataset:{dataset}", [VersionAnnounced.kind])
    return found.event.version if found and isinstance(found.event, VersionAnnounced) else None
