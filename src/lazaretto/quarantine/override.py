"""Overriding a revocation for one case: a person's act, on the ledger, with a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.errors import UsageError
from lazaretto.ledger.chain import append
from lazaretto.ledger.events import RevocationOverridden
from lazaretto.quarantine.cases import find_case
from lazaretto.quarantine.decisions import require_open
from lazaretto.quarantine.revoked import revoked_of
from lazaretto.received import find_batch

if TYPE_CHECKING:
    from lazaretto.storage.workspace import Workspace

LONGEST_REASON = 2_000


def override(workspace: Workspace, case: str, reason: str) -> int:
    """Lets the held records of a case be released although source or key is revoked.

    It releases nothing by itself, and counts until something of the source is revoked again.

    Args:
        workspace: catalog and store; whoever acts through it must be authenticated by Airflow.
        case: its id.
        reason: for the record.

    Returns:
        The ledger entry.

    Raises:
        NotFoundError: no such case.
        UsageError: nothing of it is revoked, no reason, the case is superseded, or whoever acts is
            not authenticated: the operating system's user could be anybody.

    Examples:
        >>> override(workspace, case, "we know them")
        Traceback (most recent call last):
        ...
        lazaretto.errors.UsageError: nothing of case-... is revoked: there is nothing to override
    """
    if not workspace.actor.authenticated:
        raise UsageError(
            "an override takes a person whom Airflow authenticated, and this is "
            f"{workspace.actor.id}: use the review page, or --server"
        )
    if not 0 < len(reason.strip()) <= LONGEST_REASON:
        raise UsageError(f"say why, in 1 to {LONGEST_REASON:,} characters: it is kept")
    with workspace.catalog.transaction() as connection:
        row = find_case(connection, case)
        require_open(connection, row)
        codes = revoked_of(connection, find_batch(connection, row.batch).event)
        if not codes:
            raise UsageError(f"nothing of {case} is revoked: there is nothing to override")
        event = RevocationOverridden(case, row.batch, codes, reason)
        return append(connection, event, actor=workspace.actor).seq
