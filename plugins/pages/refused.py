"""Refused deliveries: forged, replayed, unsigned; they became no batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse  # noqa: TC002  FastAPI reads it at run time

from lazaretto.plugins.security import may_read
from lazaretto.sources.refused import refused_deliveries

if TYPE_CHECKING:
    from lazaretto.plugins.site import Site

_PAGE_SIZE = 50


def routes(site: Site) -> APIRouter:
    """The routes; each has a check of what somebody may do."""
    pages, workspace = APIRouter(), site.workspace

    @pages.get("/refused", dependencies=[may_read])
    def all_refused(
        request: Request, before: Annotated[int | None, Query(ge=1)] = None
    ) -> HTMLResponse:
        with workspace().catalog.read() as connection:
            found = refused_deliveries(connection, before=before, limit=_PAGE_SIZE + 1)
        shown = found[:_PAGE_SIZE]
        older = shown[-1].seq if len(found) > _PAGE_SIZE else None
        return site.page(request, "refused.html", refusals=shown, before=before, older=older)

    return pages
