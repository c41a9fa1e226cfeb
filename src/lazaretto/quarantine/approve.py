"""Approving: a second person agrees to what would be published, and whoever decided may publish."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.errors import OvertakenError, UsageError
from lazaretto.ledger.chain import append, newest
from lazaretto.ledger.events import PublicationApproved, RecordsDecided
from lazaretto.quarantine.approvals import Approval, approval_of, approvals_of
from lazaretto.quarantine.cases import find_case
from lazaretto.quarantine.decisions import require_open
from lazaretto.quarantine.in_force import in_force
from lazaretto.quarantine.index import check_index
from lazaretto.quarantine.intent import publication_id, unpublished
from lazaretto.quarantine.standing import decisions_of
from lazaretto.quarantine.two_people import WHERE_TWO_COUNT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lazaretto.quarantine.decisions import Decision
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import Actor


def approve(workspace: Workspace, case: str, *, seen: int) -> Approval:
    """Agrees to what a publication of a case would admit now; nothing is admitted by it.

    Where a policy asks for two people, an approval makes whoever gave it the second one, so that
    whoever decided may publish. It is void as soon as there is a newer decision on the case.

    Args:
        workspace: catalog and store; whoever acts through it is on record as the approver.
        case: its id.
        seen: `Case.decided` of the case as the approver has seen it.

    Returns:
        The approval; of somebody who has given the same before, that one.

    Raises:
        NotFoundError: no such case.
        OvertakenError: somebody decided on the case since it was seen.
        UsageError: nothing authenticated the approver, who then counts for nobody; or the approver
            decided on all of it; or nothing is released that is not published; or the case is
            superseded.
        ChangedStateError: the catalog does not say what the ledger says.
        ChangedFileError: a list of decided records is gone or was changed.

    Examples:
        >>> from lazaretto.quarantine.review import decide, show_case
        >>> from lazaretto.values import Action, Actor, ActorType
        >>> _ = decide(workspace, case, Action.RELEASE, ids=["u0"], reason="looked at")
        >>> bob = workspace.acting(Actor(ActorType.HUMAN, "user:bob"))
        >>> approve(bob, case, seen=show_case(bob, case).decided).records
        1
    """
    actor = workspace.actor
    with workspace.catalog.read() as connection:
        row = find_case(connection, case)
        require_open(connection, row)
        standing = in_force(workspace.store, decisions_of(connection, case))
        parts = check_index(connection, workspace.store, row, None, standing)
    released = unpublished(standing, parts)
    event = PublicationApproved(
        case=case,
        batch=row.batch,
        publication=publication_id(case, released.pairs()),
        records=len(released),
        decided=seen,
    )
    with workspace.catalog.transaction() as connection:
        require_open(connection, row)
        newest_one = newest(connection, f"case:{case}", [RecordsDecided.kind])
        if (newest_one.seq if newest_one else 0) != seen:
            raise OvertakenError(
                f"somebody else decided on {case} meanwhile: look again, then approve"
            )
        _require_second(case, actor, released.used())
        for approval in approvals_of(connection, case, after=seen):
            if (approval.by, approval.publication) == (actor, event.publication):
                return approval
        return approval_of(append(connection, event, actor=actor), event)


def _require_second(case: str, actor: Actor, released: Sequence[Decision]) -> None:
    if not actor.authenticated:
        raise UsageError(f"{actor.id} cannot approve {case}: {WHERE_TWO_COUNT}")
    if not released:
        raise UsageError(f"nothing of {case} waits to be published: there is nothing to approve")
    if all(decision.actor == actor for decision in released):
        raise UsageError(f"{actor.id} decided on all of {case}, so somebody else approves")
