"""Deciding, undoing, approving and publishing over the API, as the person who is signed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Response

from lazaretto.plugins.announce import announce_publication
from lazaretto.plugins.api.bodies import PREFIX, ApprovalBody, DecisionBody, UndoBody
from lazaretto.plugins.security import SignedIn, may_decide
from lazaretto.plugins.site import answer
from lazaretto.quarantine import review
from lazaretto.quarantine.approve import approve

if TYPE_CHECKING:
    from lazaretto.plugins.site import Site


def routes(site: Site) -> APIRouter:
    """The routes; each has a check of what somebody may do."""
    api, workspace = APIRouter(prefix=PREFIX), site.workspace

    @api.post("/cases/{case}/decisions", dependencies=may_decide, status_code=201)
    def decide(case: str, body: DecisionBody, actor: SignedIn) -> Response:
        made = review.decide(
            workspace().acting(actor),
            case,
            body.action,
            ids=body.ids,
            positions=body.positions,
            filter=body.filter,
            all=body.all,
            reason=body.reason,
            label=body.label,
            weight=body.weight,
            seen=body.seen,
            expected=body.expected,
        )
        return answer(made, status=201)

    @api.post("/decisions/{decision}/undo", dependencies=may_decide, status_code=201)
    def undo(decision: str, body: UndoBody, actor: SignedIn) -> Response:
        done = review.undo(workspace().acting(actor), decision, reason=body.reason)
        return answer(done, status=201)

    @api.post("/cases/{case}/approve", dependencies=may_decide, status_code=201)
    def approve_(case: str, body: ApprovalBody, actor: SignedIn) -> Response:
        return answer(approve(workspace().acting(actor), case, seen=body.seen), status=201)

    @api.post("/cases/{case}/publish", dependencies=may_decide)
    def publish(case: str, actor: SignedIn) -> Response:
        opened = workspace().acting(actor)
        admission = review.publish(opened, case)
        told = None if admission is None else announce_publication(opened, admission)
        return answer({"admission": admission, "announcement": told})

    return api
