"""The map of a case, what a lasso on it takes, and the score histogram."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request, Response

from lazaretto.errors import UsageError
from lazaretto.plugins.api.bodies import MOST_IDS, PREFIX
from lazaretto.plugins.security import may_read
from lazaretto.plugins.site import answer
from lazaretto.quarantine.map import HELD, decided_of_case, map_of_case
from lazaretto.quarantine.map_files import files_of_map
from lazaretto.quarantine.map_plane import inside
from lazaretto.quarantine.map_shown import map_bytes, map_picture
from lazaretto.quarantine.score_histogram import score_histogram

if TYPE_CHECKING:
    from lazaretto.plugins.site import Site

_MOST_CORNERS = 256
_LONGEST = 4096
_LIMIT = 2**16


def routes(site: Site) -> APIRouter:
    """The routes; each has a check of what somebody may do."""
    api, workspace = APIRouter(prefix=PREFIX), site.workspace

    @api.get("/cases/{case}/map", dependencies=[may_read], response_class=Response)
    def whole_map(request: Request, case: str) -> Response:
        opened = workspace()
        files = files_of_map(opened, case)
        kept = _kept(f"map-{files.digest}")
        if _knows(request, kept["ETag"]):
            return Response(status_code=304, headers=kept)
        found = map_bytes(map_of_case(opened, case, files))
        return Response(found, media_type="application/octet-stream", headers=kept)

    @api.get("/cases/{case}/map.svg", dependencies=[may_read], response_class=Response)
    def picture(request: Request, case: str) -> Response:
        opened = workspace()
        files = files_of_map(opened, case)
        kept = _kept(f"picture-{files.digest}")
        if _knows(request, kept["ETag"]):
            return Response(status_code=304, headers=kept)
        found = map_picture(map_of_case(opened, case, files))
        return Response(found, media_type="image/svg+xml", headers=kept)

    @api.get("/cases/{case}/map/inside", dependencies=[may_read])
    def lasso(case: str, polygon: Annotated[str, Query(max_length=_LONGEST)]) -> Response:
        corners = _corners(polygon)
        found = map_of_case(workspace(), case)
        taken = found.position[inside(found.place[found.kind == HELD], corners)]
        few = len(taken) <= MOST_IDS
        return answer({"records": len(taken), "positions": taken.tolist() if few else None})

    @api.get("/cases/{case}/map/decided", dependencies=[may_read], response_class=Response)
    def decided(case: str) -> Response:
        position, actions, code = decided_of_case(workspace(), case)
        parts = [len(position).to_bytes(4, "little"), position.astype("<u4").tobytes()]
        return Response(
            b"".join([*parts, code.tobytes()]),
            media_type="application/octet-stream",
            headers={"X-Lazaretto-Actions": ",".join(actions)},
        )

    @api.get("/cases/{case}/scores", dependencies=[may_read])
    def scores(case: str) -> Response:
        return answer(score_histogram(workspace(), case))

    return api


def _kept(name: str) -> dict[str, str]:
    """A browser may keep it, and asks each time whether it is still that."""
    return {"ETag": f'"{name}"', "Cache-Control": "private, no-cache"}


def _knows(request: Request, etag: str) -> bool:
    known = request.headers.get("if-none-match", "")
    return etag in [each.strip() for each in known.split(",")]


def _corners(polygon: str) -> list[tuple[int, int]]:
    """A polygon from ``x,y,x,y,…`` in the map's own units, 0 to 65535.

    Raises:
        UsageError: it is none.
    """
    try:
        numbers = [int(part) for part in polygon.split(",")]
    except ValueError:
        numbers = []
    wrong = len(numbers) % 2 or not 6 <= len(numbers) <= 2 * _MOST_CORNERS
    if wrong or not all(0 <= number < _LIMIT for number in numbers):
        raise UsageError(
            f"a polygon is x,y,x,y,… with 3 to {_MOST_CORNERS} corners from 0 to {_LIMIT - 1}"
        )
    return list(zip(numbers[::2], numbers[1::2], strict=True))
