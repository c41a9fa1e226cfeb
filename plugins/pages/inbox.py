"""The inbox: which cases wait, for whom, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse  # noqa: TC002  FastAPI reads it at run time

from lazaretto.plugins.security import may_read
from lazaretto.quarantine.review import list_cases

if TYPE_CHECKING:
    from lazaretto.plugins.site import Site

_PAGE_SIZE = 50


def routes(site: Site) -> APIRouter:
    """The routes; each has a check of what somebody may do."""
    pages, workspace = APIRouter(), site.workspace

    @pages.get("/", dependencies=[may_read])
    def all_cases(
        request: Request,
        state: Literal["open", "closed", "all"] = "open",
        after: Annotated[str | None, Query(max_length=64)] = None,
    ) -> HTMLResponse:
        wanted = None if state == "all" else state.upper()
        found = list_cases(workspace(), state=wanted, after=after, limit=_PAGE_SIZE + 1)
        shown = found[:_PAGE_SIZE]
        older = shown[-1].id if len(found) > _PAGE_SIZE else None
        return site.page(request, "cases.html", cases=shown, state=state, after=after, older=older)

    return pages
