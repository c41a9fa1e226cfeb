"""How people share the work: whose a case is to review, and what they remark on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.errors import UsageError
from lazaretto.ledger.chain import append, entries
from lazaretto.ledger.cover import agree, event_of
from lazaretto.ledger.events import CaseAssigned, CaseCommented
from lazaretto.ledger.state import Put, entry_columns, record
from lazaretto.quarantine.cases import find_case
from lazaretto.storage import tables
from lazaretto.values import Remark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
    from lazaretto.ledger.state import Change
    from lazaretto.storage.workspace import Workspace

LONGEST_COMMENT = 4_000
LONGEST_NAME = 255
_assignment = tables.case_assignment


def assign(workspace: Workspace, case: str, assignee: str | None) -> bool:
    """Makes a case somebody's to review. Others may still decide on it.

    Args:
        workspace: catalog and store; whoever acts through it assigned the case.
        case: its id.
        assignee: such as ``user:ann``; None: nobody in particular.

    Returns:
        Whether it changed anything.

    Raises:
        NotFoundError: no such case.
        UsageError: a name that is empty or too long.

    Examples:
        >>> assign(workspace, case, "user:ann")
        True
    """
    if assignee is not None and not 0 < len(assignee.strip()) <= LONGEST_NAME:
        raise UsageError(f"an assignee has 1 to {LONGEST_NAME} characters, such as user:ann")
    with workspace.catalog.transaction() as connection:
        row = find_case(connection, case)
        if assignee_of(connection, case) == assignee:
            return False
        event = CaseAssigned(case, row.batch, assignee)
        record(connection, event, changes, actor=workspace.actor)
        return True


def comment(workspace: Workspace, case: str, text: str) -> int:
    """Puts a remark on record; it stays there.

    Returns:
        The ledger entry.

    Raises:
        NotFoundError: no such case.
        UsageError: a remark that is empty or too long.

    Examples:
        >>> _ = comment(workspace, case, "the first three look like sevens")
        >>> [remark.text for remark in list_comments(workspace, case)]
        ['the first three look like sevens']
    """
    if not 0 < len(text.strip()) <= LONGEST_COMMENT:
        raise UsageError(f"a comment has 1 to {LONGEST_COMMENT:,} characters")
    with workspace.catalog.transaction() as connection:
        row = find_case(connection, case)
        event = CaseCommented(case, row.batch, text)
        return append(connection, event, actor=workspace.actor).seq


def list_comments(workspace: Workspace, case: str) -> list[Remark]:
    """Every remark on a case, oldest first.

    Raises:
        NotFoundError: no such case.

    Examples:
        >>> list_comments(workspace, case)
        []
    """
    with workspace.catalog.read() as connection:
        find_case(connection, case)
        found = entries(connection, subject=f"case:{case}", kinds=[CaseCommented.kind])
        return [
            Remark(entry.event.text, entry.actor, entry.at, entry.seq)
            for entry in found
            if isinstance(entry.event, CaseCommented)
        ]


def assignee_of(connection: Connection, case: str) -> str | None:
    """Who reviews a case; None: nobody in particular.

    Raises:
        ChangedStateError: the row does not say what the ledger says.
    """
    row = connection.execute(_assignment.select().where(_assignment.c.case_id == case)).first()
    if row is None:
        return None
    entry, event = event_of(connection, _assignment.name, case, row, CaseAssigned)
    agree(_assignment.name, case, row, _columns(entry, event))
    return None if row.assignee is None else str(row.assignee)


def changes(entry: Entry) -> Iterator[Change]:
    """What an entry does to the table of assignments."""
    if isinstance(entry.event, CaseAssigned):
        yield Put(_assignment, _columns(entry, entry.event))


def _columns(entry: Entry, event: CaseAssigned) -> dict[str, object]:
    said: dict[str, object] = {"case_id": event.case, "assignee": event.assignee, "at": entry.at}
    return said | entry_columns(entry)
