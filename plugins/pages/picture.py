"""Pictures of held records, and of trusted ones near them: always a PNG that is made here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Path, Response

from lazaretto.plugins.pictures import Picture, Pictures
from lazaretto.plugins.security import Reader, may_read
from lazaretto.plugins.site import MOST, Position
from lazaretto.quarantine.reads import log_read

if TYPE_CHECKING:
    from lazaretto.plugins.site import Site

_Size = Literal["small", "large"]


def routes(site: Site) -> APIRouter:
    """The routes; each has a check of what somebody may do."""
    pages, workspace, pictures = APIRouter(), site.workspace, Pictures()

    @pages.get("/cases/{case}/records/{position}/image/{column}", dependencies=[may_read])
    def of_record(
        case: str,
        position: Position,
        column: Annotated[int, Path(ge=0, le=MOST)],
        reader: Reader,
        size: _Size = "small",
    ) -> Response:
        opened = workspace().acting(reader)
        log_read(opened, case, "page", [position])
        return _answer(pictures.of_record(opened, case, position, column, size))

    @pages.get(
        "/cases/{case}/records/{position}/neighbours/{rank}/image/{column}",
        dependencies=[may_read],
    )
    def of_neighbour(
        case: str,
        position: Position,
        rank: Annotated[int, Path(ge=0, le=9)],
        column: Annotated[int, Path(ge=0, le=MOST)],
        reader: Reader,
        size: _Size = "small",
    ) -> Response:
        opened = workspace().acting(reader)
        log_read(opened, case, "page", [position])
        return _answer(pictures.of_neighbour(opened, case, position, rank, column, size))

    return pages


def _answer(picture: Picture) -> Response:
    # The words are ours: nothing of the file is in them.
    said = {"X-Lazaretto-Picture": picture.why_not or "shown"}
    return Response(picture.png, media_type="image/png", headers=said)
