"""A case: the conclusion, the batch as a whole, what was decided, and the held records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse  # noqa: TC002  FastAPI reads it at run time

from lazaretto.plugins.records import FilterQuery, page_of_records
from lazaretto.plugins.security import Decides, may_read
from lazaretto.quarantine.review import list_decisions, list_publications, show_case
from lazaretto.quarantine.triage import triage_of_case

if TYPE_CHECKING:
    from lazaretto.plugins.site import Site

_PAGE_SIZE = 50


def routes(site: Site) -> APIRouter:
    """The routes; each has a check of what somebody may do."""
    pages, workspace = APIRouter(), site.workspace

    @pages.get("/cases/{case}", dependencies=[may_read])
    def one_case(
        request: Request,
        case: str,
        may_decide: Decides,
        after: Annotated[int, Query(ge=-1)] = -1,
    ) -> HTMLResponse:
        opened = workspace()
        found = show_case(opened, case)
        wanted = FilterQuery.of(request.query_params)
        return site.page(
            request,
            "case.html",
            case=found,
            page=page_of_records(opened, found, wanted, after=after, limit=_PAGE_SIZE),
            wanted=wanted.filter,
            first=after < 0,
            decisions=list_decisions(opened, case),
            publications=list_publications(opened, case),
            triage=triage_of_case(opened, case),
            may_decide=may_decide and found.state == "OPEN",
            reviewer=may_decide,
        )

    return pages
