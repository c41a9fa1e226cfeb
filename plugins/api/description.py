"""What the API offers, as an OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from fastapi.openapi.utils import get_openapi

from lazaretto.plugins.api.bodies import PREFIX
from lazaretto.plugins.security import ASKED_HEADER, may_read
from lazaretto.plugins.site import answer, root_of

if TYPE_CHECKING:
    from lazaretto.plugins.site import Site

_ABOUT = (
    "Cases of the quarantine, their records, and every decision on them. Send a token of Airflow's "
    f"as a bearer token; a POST needs the header {ASKED_HEADER}: 1."
)


def routes(_site: Site) -> APIRouter:
    """The route; it has a check of what somebody may do."""
    api = APIRouter(prefix=PREFIX)

    @api.get("/openapi.json", dependencies=[may_read])
    def openapi(request: Request) -> Response:
        routes = [route for route in request.app.routes if PREFIX in getattr(route, "path", PREFIX)]
        document = get_openapi(title="Lazaretto", version="1", description=_ABOUT, routes=routes)
        document["servers"] = [{"url": root_of(request) or "/"}]
        document["paths"] = {
            path: found for path, found in document["paths"].items() if path.startswith(PREFIX)
        }
        return answer(document)

    return api
