"""Incidents as JSON: what is known of them, what is on hold, and how people share the work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Response

from lazaretto import incidents
from lazaretto.plugins.api.bodies import (
    MOST_ON_A_PAGE,
    PREFIX,
    AssigneeBody,
    CommentBody,
    ConclusionBody,
    HoldBody,
)
from lazaretto.plugins.asked import Behind, known
from lazaretto.plugins.security import SignedIn, may_decide_all, may_read_all
from lazaretto.plugins.site import answer

if TYPE_CHECKING:
    from lazaretto.plugins.site import Site

_PAGE = 50


def routes(site: Site) -> APIRouter:
    """The routes; each has a check of what somebody may do."""
    api, workspace = APIRouter(prefix=PREFIX), site.workspace

    @api.get("/incidents", dependencies=[may_read_all])
    def listed(
        state: Annotated[str | None, Query(pattern="^(OPEN|CLOSED)$")] = None,
        after: Behind = None,
        limit: Annotated[int, Query(ge=1, le=MOST_ON_A_PAGE)] = _PAGE,
    ) -> Response:
        found = incidents.list_incidents(workspace(), state=state, after=known(after), limit=limit)
        following = found[-1].id if len(found) == limit else None
        return answer({"incidents": found, "after": following})

    @api.get("/incidents/{incident}", dependencies=[may_read_all])
    def one(incident: str) -> Response:
        return answer(incidents.show_incident(workspace(), str(known(incident))))

    @api.post("/incidents/{incident}/assignee", dependencies=may_decide_all)
    def assign(incident: str, body: AssigneeBody, actor: SignedIn) -> Response:
        acting = workspace().acting(actor)
        changed = incidents.assign(acting, str(known(incident)), body.assignee)
        return answer({"assignee": body.assignee, "changed": changed})

    @api.post("/incidents/{incident}/notes", dependencies=may_decide_all, status_code=201)
    def note(incident: str, body: CommentBody, actor: SignedIn) -> Response:
        seq = incidents.note(workspace().acting(actor), str(known(incident)), body.text)
        return answer({"seq": seq}, status=201)

    @api.post("/incidents/{incident}/holds", dependencies=may_decide_all)
    def place(incident: str, body: HoldBody, actor: SignedIn) -> Response:
        changed = incidents.place_hold(
            workspace().acting(actor),
            str(known(incident)),
            body.what,
            str(known(body.name)),
            reason=body.reason,
        )
        return answer({"on_hold": True, "changed": changed})

    @api.post("/incidents/{incident}/holds/lift", dependencies=may_decide_all)
    def lift(incident: str, body: HoldBody, actor: SignedIn) -> Response:
        changed = incidents.lift_hold(
            workspace().acting(actor),
            str(known(incident)),
            body.what,
            str(known(body.name)),
            reason=body.reason,
        )
        return answer({"on_hold": False, "changed": changed})

    @api.post("/incidents/{incident}/close", dependencies=may_decide_all)
    def close(incident: str, body: ConclusionBody, actor: SignedIn) -> Response:
        found = incidents.close(workspace().acting(actor), str(known(incident)), body.text)
        return answer({"state": found.state})

    return api
