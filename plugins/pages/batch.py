"""The way from a batch to its case: links from tasks and reports name the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from lazaretto.plugins.security import may_read
from lazaretto.plugins.site import root_of
from lazaretto.quarantine.review import list_cases
from lazaretto.received import load_batch

if TYPE_CHECKING:
    from lazaretto.plugins.site import Site


def routes(site: Site) -> APIRouter:
    """The routes; each has a check of what somebody may do."""
    pages, workspace = APIRouter(), site.workspace

    @pages.get("/batches/{batch:path}", dependencies=[may_read], response_model=None)
    def case_of_batch(request: Request, batch: str) -> HTMLResponse | RedirectResponse:
        opened = workspace()
        cases = list_cases(opened, state=None, batch=batch, limit=1)
        if cases:
            at = f"{root_of(request)}/cases/{quote(cases[0].id)}"
            return RedirectResponse(at, status_code=303)
        load_batch(opened, batch)
        return site.page(request, "unheld.html", batch=batch)

    return pages
