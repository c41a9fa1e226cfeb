"""Whose a case is, and what is remarked on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Response

from lazaretto.plugins.api.bodies import PREFIX, AssigneeBody, CommentBody, OverrideBody
from lazaretto.plugins.security import SignedIn, may_decide, may_read
from lazaretto.plugins.site import answer
from lazaretto.quarantine import handling
from lazaretto.quarantine.override import override

if TYPE_CHECKING:
    from lazaretto.plugins.site import Site


def routes(site: Site) -> APIRouter:
    """The routes; each has a check of what somebody may do."""
    api, workspace = APIRouter(prefix=PREFIX), site.workspace

    @api.post("/cases/{case}/assignee", dependencies=may_decide)
    def assign(case: str, body: AssigneeBody, actor: SignedIn) -> Response:
        changed = handling.assign(workspace().acting(actor), case, body.assignee)
        return answer({"assignee": body.assignee, "changed": changed})

    @api.get("/cases/{case}/comments", dependencies=[may_read])
    def comments(case: str) -> Response:
        return answer({"comments": handling.list_comments(workspace(), case)})

    @api.post("/cases/{case}/comments", dependencies=may_decide, status_code=201)
    def comment(case: str, body: CommentBody, actor: SignedIn) -> Response:
        seq = handling.comment(workspace().acting(actor), case, body.text)
        return answer({"seq": seq}, status=201)

    @api.post("/cases/{case}/override", dependencies=may_decide, status_code=201)
    def override_(case: str, body: OverrideBody, actor: SignedIn) -> Response:
        return answer({"seq": override(workspace().acting(actor), case, body.reason)}, status=201)

    return api
