"""Style sheets, scripts and pictures of the pages, all from this machine."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse

from lazaretto.plugins.security import may_read

if TYPE_CHECKING:
    from lazaretto.plugins.site import Site

FOLDER = Path(__file__).parent.parent / "static"
BUNDLED = "bundled"
"""Folder within `FOLDER` with what `make ui-assets` bundles of other people's libraries."""
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@cache
def known_files() -> dict[str, Path]:
    """Every file that may be asked for, by its name in the address."""
    places = [*FOLDER.iterdir(), *(FOLDER / BUNDLED).glob("*")]
    return {str(place.relative_to(FOLDER)): place for place in places if place.suffix in _TYPES}


def routes(_site: Site) -> APIRouter:
    """The routes; each has a check of what somebody may do."""
    pages = APIRouter()

    @pages.get("/static/{name:path}", dependencies=[may_read])
    def static(name: str) -> FileResponse:
        # By a list of what is there, so that no name leads anywhere else.
        if name not in known_files():
            raise HTTPException(404, "no such file")
        place = known_files()[name]
        return FileResponse(place, media_type=_TYPES[place.suffix])

    return pages
