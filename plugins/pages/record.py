"""One held record on a page of its own: everything found, what it lies near, where it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse  # noqa: TC002  FastAPI reads it at run time

from lazaretto.plugins.pictures import can_draw
from lazaretto.plugins.records import whole_record
from lazaretto.plugins.security import Reader, may_read
from lazaretto.plugins.site import Position  # noqa: TC001  FastAPI reads it at run time
from lazaretto.quarantine.review import show_case

if TYPE_CHECKING:
    from lazaretto.plugins.site import Site


def routes(site: Site) -> APIRouter:
    """The routes; each has a check of what somebody may do."""
    pages, workspace = APIRouter(), site.workspace

    @pages.get("/cases/{case}/records/{position}", dependencies=[may_read])
    def one_record(request: Request, case: str, position: Position, reader: Reader) -> HTMLResponse:
        opened = workspace().acting(reader)
        found = show_case(opened, case)
        whole = whole_record(opened, found, position, via="page")
        return site.page(
            request,
            "record.html",
            case=found,
            whole=whole,
            record=whole.record,
            pictures=can_draw(),
        )

    return pages
