"""Who was told of a dataset's versions: each version is announced once, whoever made it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa

from lazaretto.dataset.state import ContentEvent
from lazaretto.errors import UsageError
from lazaretto.ledger.chain import append, entries, entry, newest
from lazaretto.ledger.cover import covering
from lazaretto.ledger.events import BatchAdmitted, RecordsRecalled, VersionAnnounced
from lazaretto.storage import tables

if TYPE_CHECKING:
    from collections.abc import Callable
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


def announce_once(
    workspace: Workspace, dataset: str, made: int, tell: Callable[[News], None]
) -> bool:
    """Tells of a version, unless it was told before, and puts that on record.

    It is told under the writers' lock of the catalog: of several who announce a version at the same
    time, one tells it. Killed between telling and the record, it is told twice rather than never.

    Args:
        workspace: catalog and store; whoever acts through it announces.
        dataset: its name.
        made: ledger entry that made the version.
        tell: does it, within seconds, since other writers wait; what it raises leaves the version
            unannounced.

    Returns:
        Whether it was told now.

    Raises:
        UsageError: the entry made no version of the dataset.
    """
    with workspace.catalog.transaction() as connection:
        if _find(connection, dataset, made):
            return False
        found = entry(connection, made)
        if not isinstance(found.event, ContentEvent) or found.event.dataset != dataset:
            raise UsageError(f"ledger entry {made} made no version of dataset {dataset!r}")
        tell(_news(found, found.event))
        event = VersionAnnounced(dataset, found.event.version, made)
        append(connection, event, actor=workspace.actor)
        return True


def as_extra(news: News) -> dict[str, object]:
    """What an asset event says of a version besides the asset."""
    return {
        "dataset": news.dataset,
        "version": news.version,
        "what": news.what,
        "batch": news.batch,
        "rows": news.rows,
    }


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
                one = covering(connection, table.name, f"{dataset}@{row.version}", row)
                told = _find(connection, dataset, one.seq)  # two tasks may tell in either order
                if isinstance(one.event, ContentEvent) and not told:
                    found[one.seq] = _news(one, one.event)
    in_order = [found[made] for made in sorted(found)]
    return in_order[-1:] if last is None else in_order[:limit]


def _news(made: Entry, event: ContentEvent) -> News:
    if isinstance(event, BatchAdmitted):
        what: What = "admitted" if event.case is None else "published"
        batch, rows = event.batch, event.rows
    elif isinstance(event, RecordsRecalled):
        what, batch, rows = "recalled", None, event.records
    else:
        what, batch, rows = "lost", None, sum(part.rows for part in event.parts)
    return News(event.dataset, event.version, what, batch, rows, made.seq, made.at, made.actor)


def _find(connection: Connection, dataset: str, made: int) -> bool:
    """Looks only behind the entry that made the version: nobody announced it before."""
    found = entries(
        connection, after=made, subject=f"dataset:{dataset}", kinds=[VersionAnnounced.kind]
    )
    return any(isinstance(one.event, VersionAnnounced) and one.event.made == made for one in found)


def _newest_announced(connection: Connection, dataset: str) -> int | None:
    """The entry that made the version that was announced last."""
    found = newest(connection, f"dataset:{dataset}", [VersionAnnounced.kind])
    return found.event.made if found and isinstance(found.event, VersionAnnounced) else None
