"""The read log: who was shown the content of which held records. It is a part of the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.ledger.chain import append, entries
from lazaretto.ledger.events import HeldRecordsRead
from lazaretto.quarantine.cases import find_case
from lazaretto.quarantine.filters import conditions
from lazaretto.storage import tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import Actor

_AGAIN = timedelta(minutes=15)
_LOOK_BACK = 200


@dataclass(frozen=True, slots=True)
class Read:
    """Somebody was shown held records; see `lazaretto.ledger.events.HeldRecordsRead`.

    Attributes:
        seq: ledger entry.
        at: when, UTC.
        actor: who.
        via: ``page``, ``api`` or ``export``.
        first: position of the first record.
        last: position of the last one.
        records: how many.
        filter: which were asked for.
    """

    seq: int
    at: datetime
    actor: Actor
    via: str
    first: int
    last: int
    records: int
    filter: dict[str, str]


def log_read(
    workspace: Workspace,
    case: str,
    via: str,
    positions: Sequence[int],
    filter: Mapping[str, str] | None = None,  # noqa: A002
) -> int | None:
    """Puts on record that somebody is shown held records; call it before they are shown.

    Args:
        workspace: catalog and store; whoever acts through it is shown them.
        case: its id.
        via: ``page``, ``api`` or ``export``; an export is always on record, a page that the same
            person saw within the last minutes is not again.
        positions: of the records.
        filter: which records were asked for.

    Returns:
        The ledger entry; None where there is nothing new to tell.

    Raises:
        NotFoundError: no such case.
        SystemFaultError: the catalog cannot be written; then nothing may be shown.

    Examples:
        >>> from lazaretto.quarantine.review import held_records
        >>> shown = [record.position for record in held_records(workspace, case)]
        >>> log_read(workspace, case, "page", shown) is None
        False
        >>> log_read(workspace, case, "page", shown)  # the same person, just now
    """
    if not positions:
        return None
    first, last = min(positions), max(positions)
    if via != "export":
        with workspace.catalog.read() as connection:
            if _known(connection, workspace, case, first, last, filter):
                return None
    with workspace.catalog.transaction() as connection:
        row = find_case(connection, case)
        event = HeldRecordsRead(
            case=case,
            batch=row.batch,
            via=via,
            first=first,
            last=last,
            records=len(positions),
            filter=dict(filter or {}),
        )
        return append(connection, event, actor=workspace.actor).seq


def list_reads(workspace: Workspace, case: str, *, limit: int | None = None) -> list[Read]:
    """The read log of a case, newest first.

    Args:
        workspace: catalog and store.
        case: its id.
        limit: at most so many.

    Raises:
        NotFoundError: no such case.

    Examples:
        >>> _ = log_read(workspace, case, "export", [0, 3])
        >>> [(read.actor.id, read.via, read.records) for read in list_reads(workspace, case)]
        [('user:ann', 'export', 2)]
    """
    with workspace.catalog.read() as connection:
        find_case(connection, case)
        found = [(entry, entry.event) for entry in _reads(connection, case, limit=limit)]
    return [
        Read(
            seq=entry.seq,
            at=entry.at,
            actor=entry.actor,
            via=said.via,
            first=said.first,
            last=said.last,
            records=said.records,
            filter=said.filter,
        )
        for entry, said in found
        if isinstance(said, HeldRecordsRead)
    ]


def _reads(
    connection: Connection, case: str, since: datetime | None = None, limit: int | None = None
) -> Iterator[Entry]:
    return entries(
        connection,
        subject=f"case:{case}",
        kinds=[HeldRecordsRead.kind],
        since=since,
        limit=limit,
        newest_first=True,
    )


def _known(
    connection: Connection,
    workspace: Workspace,
    case: str,
    first: int,
    last: int,
    filter: Mapping[str, str] | None,  # noqa: A002
) -> bool:
    """Whether the same person was shown these within the last minutes.

    One record of a page that was read, such as its picture, is among those that were shown, if the
    page's filter takes it.
    """
    since = datetime.now(UTC) - _AGAIN
    for entry in _reads(connection, case, since=since, limit=_LOOK_BACK):
        said = entry.event
        if (
            isinstance(said, HeldRecordsRead)
            and entry.actor == workspace.actor
            and said.first <= first
            and last <= said.last
            and (
                said.filter == dict(filter or {})
                or (first == last and _takes(connection, case, said.filter, first))
            )
        ):
            return True
    return False


def _takes(connection: Connection, case: str, filter: Mapping[str, str], position: int) -> bool:  # noqa: A002
    """Whether a filter takes a record as it is now."""
    wanted = [*conditions(case, filter), tables.held_record.c.position == position]
    return connection.scalar(sa.select(tables.held_record.c.position).where(*wanted)) is not None
