"""Style sheets, scripts and pictures of the pages, all from this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse

from lazaretto.plugins.assets import TYPES, known_files
from lazaretto.plugins.security import may_read

if TYPE_CHECKING:
    from lazaretto.plugins.site import Site


def routes(_site: Site) -> APIRouter:
    """The routes; each has a check of what somebody may do."""
    pages = APIRouter()

    @pages.get("/static/{name:path}", dependencies=[may_read])
    def static(name: str) -> FileResponse:
        # By a list of what is there, so that no name leads anywhere else.
        if name not in known_files():
            raise HTTPException(404, "no such file")
        place = known_files()[name]
        return FileResponse(place, media_type=TYPES[place.suffix])

    return pages
