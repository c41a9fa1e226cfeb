"""The read log: who was shown the content of which held records. It is a part of the ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lazaretto.ledger.chain import append, entries
from lazaretto.ledger.events import HeldRecordsRead
from lazaretto.quarantine.cases import find_case

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
    from lazaretto.storage.workspace import Workspace

_AGAIN = timedelta(minutes=15)
_LOOK_BACK = 200


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


def list_reads(workspace: Workspace, case: str) -> list[Entry]:
    """Entries of the read log of a case, newest first.

    Raises:
        NotFoundError: no such case.
    """
    with workspace.catalog.read() as connection:
        find_case(connection, case)
        return list(_reads(connection, case))


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

    One record of a page that was read, such as its picture, is among those that were shown.
    """
    since = datetime.now(UTC) - _AGAIN
    for entry in _reads(connection, case, since=since, limit=_LOOK_BACK):
        said = entry.event
        if (
            isinstance(said, HeldRecordsRead)
            and entry.actor == workspace.actor
            and said.first <= first
            and last <= said.last
            and (first == last or said.filter == dict(filter or {}))
        ):
            return True
    return False
