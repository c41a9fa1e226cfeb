"""Sources, their deliveries and what they reached, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Response

from lazaretto.plugins.api.bodies import MOST_ON_A_PAGE, PREFIX
from lazaretto.plugins.asked import Behind, Moment, known
from lazaretto.plugins.security import Hidden, may_read
from lazaretto.plugins.site import answer
from lazaretto.plugins.tracing import trace_for
from lazaretto.sources.registry import get_source
from lazaretto.stages.deliveries import Wanted, list_deliveries
from lazaretto.stages.source_counts import list_overviews
from lazaretto.stages.sources import STEPS, show_source

if TYPE_CHECKING:
    from lazaretto.plugins.site import Site

_PAGE = 50


def routes(site: Site) -> APIRouter:
    """The routes; each has a check of what somebody may do."""
    api, workspace = APIRouter(prefix=PREFIX), site.workspace

    @api.get("/sources", dependencies=[may_read])
    def sources(
        hidden: Hidden,
        after: Behind = None,
        limit: Annotated[int, Query(ge=1, le=MOST_ON_A_PAGE)] = _PAGE,
    ) -> Response:
        found = list_overviews(workspace(), after=known(after), limit=limit, hidden=hidden)
        following = found[-1].source.name if len(found) == limit else None
        return answer({"sources": found, "after": following})

    @api.get("/sources/{name}", dependencies=[may_read])
    def source(
        name: str,
        hidden: Hidden,
        steps: Annotated[int, Query(ge=1, le=MOST_ON_A_PAGE)] = STEPS,
    ) -> Response:
        return answer(show_source(workspace(), name, steps=steps, hidden=hidden))

    @api.get("/sources/{name}/deliveries", dependencies=[may_read])
    def deliveries(
        name: str,
        hidden: Hidden,
        after: Behind = None,
        limit: Annotated[int, Query(ge=1, le=MOST_ON_A_PAGE)] = _PAGE,
    ) -> Response:
        opened = workspace()
        get_source(opened, name)
        wanted = Wanted(source=name, hidden=tuple(hidden))
        page = list_deliveries(opened, wanted, limit=limit, after=known(after))
        last = page.rows[-1] if page.more else None
        following = last and (last["id"] or str(last["seq"]))
        return answer({"deliveries": page.rows, "after": following})

    @api.get("/sources/{name}/trace", dependencies=[may_read])
    def trace(name: str, hidden: Hidden, since: Moment = "", until: Moment = "") -> Response:
        found = trace_for(workspace(), name, since, until, hidden)
        told = None if found.trace is None else found.trace.to_json()
        return answer({"trace": told, "why_not": found.why, "command": found.command})

    return api
