"""Deciding, undoing and publishing over the API, as the person who is signed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Response

from lazaretto.plugins.api.bodies import PREFIX, DecisionBody, UndoBody
from lazaretto.plugins.security import SignedIn, may_decide
from lazaretto.plugins.site import answer
from lazaretto.quarantine import review

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

    @api.post("/cases/{case}/publish", dependencies=may_decide)
    def publish(case: str, actor: SignedIn) -> Response:
        return answer({"admission": review.publish(workspace().acting(actor), case)})

    return api
