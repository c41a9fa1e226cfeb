"""Incidents as JSON: what is known of them, what is on hold, and how people share the work."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Response

from lazaretto import incidents
from lazaretto.errors import UsageError
from lazaretto.incidents.question import opening_command
from lazaretto.lineage import checked_question
from lazaretto.lineage.trace.bounded import too_much
from lazaretto.plugins.api.bodies import (
    MOST_ON_A_PAGE,
    PREFIX,
    AssigneeBody,
    CommentBody,
    ConclusionBody,
    HoldBody,
    OpeningBody,
)
from lazaretto.plugins.asked import Behind, known, moment
from lazaretto.plugins.security import SignedIn, may_decide_all, may_read_all
from lazaretto.plugins.site import answer
from lazaretto.values import HoldKind, Question

if TYPE_CHECKING:
    from lazaretto.plugins.site import Site
    from lazaretto.storage.workspace import Workspace

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

    @api.post("/incidents", dependencies=may_decide_all, status_code=201)
    def open_(body: OpeningBody, actor: SignedIn) -> Response:
        question = checked_question(
            Question(
                body.kind,
                str(known(body.subject)),
                moment(body.since),
                moment(body.until),
                body.by,
                [str(known(batch)) for batch in body.without],
                known(body.registry or None),
            )
        )
        _require_small(workspace(), opening_command(question))
        holds = [(HoldKind.PUBLISHING, str(known(name))) for name in body.freeze]
        holds += [(HoldKind.PROMOTION, str(known(name))) for name in body.freeze_models]
        found = incidents.open_incident(
            workspace().acting(actor),
            question,
            reason=body.why,
            title=body.title or None,
            holds=holds,
            hold_source=body.freeze_source,
        )
        return answer({"id": found.id}, status=201)

    @api.post("/incidents/{incident}/refresh", dependencies=may_decide_all)
    def refresh(incident: str, actor: SignedIn) -> Response:
        name = str(known(incident))
        _require_small(workspace(), f"lazaretto incident refresh {shlex.quote(name)}")
        done = incidents.refresh(workspace().acting(actor), name)
        changed = {"changed": done.changed, "sentences": done.changed.sentences()}
        return answer(changed | {"seq": done.seq})

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


def _require_small(workspace: Workspace, command: str) -> None:
    """Refuses what takes too long while somebody waits.

    Raises:
        UsageError: there is too much to be read; it names the command that does the same.
    """
    why = too_much(workspace)
    if why is not None:
        raise UsageError(f"not done here: {why}. This does the same: {command}")
