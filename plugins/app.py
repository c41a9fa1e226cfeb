"""The review page as one application: every page and API route, behind one check of who asks."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.exception_handlers import (
    http_exception_handler,
    request_validation_exception_handler,
)
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from lazaretto.errors import LazarettoError
from lazaretto.plugins import api, pages
from lazaretto.plugins.security import signed_in
from lazaretto.plugins.site import Site, answer, asks_for_json
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from lazaretto.storage.workspace import Workspace

_log = logging.getLogger(__name__)
_WORDS = {
    401: "Nobody is signed in. Sign in to Airflow, then load this page again.",
    403: "You may not see this. Ask whoever manages roles in Airflow for the right to see assets.",
    404: "There is no such page.",
}


def create_app(open_workspace: Callable[[], Workspace] | None = None) -> FastAPI:
    """Builds the application; Airflow mounts it under the plugin's prefix.

    Every route is behind the application's own check that somebody is signed in, and has a check of
    what they may do. There is no mounted sub-application, because those checks would not apply to
    one.

    Args:
        open_workspace: opens catalog and store; default: the connection ``lazaretto_default``.
    """
    site = Site.of(open_workspace)
    app = FastAPI(
        title="Lazaretto", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[signed_in]
    )
    app.state.site = site
    for routes in (*api.ROUTES, *pages.ROUTES):
        app.include_router(routes(site))

    @app.exception_handler(LazarettoError)
    def cannot_answer(request: Request, error: LazarettoError) -> Response:
        return site.failure(request, error)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        if asks_for_json(request):
            return await http_exception_handler(request, error)
        said = _WORDS.get(error.status_code, str(error.detail))
        page = site.page(request, "error.html", status=error.status_code, message=said)
        page.headers.update(error.headers or {})
        return page

    @app.exception_handler(RequestValidationError)
    async def not_understood(request: Request, error: RequestValidationError) -> Response:
        if asks_for_json(request):
            return await request_validation_exception_handler(request, error)
        wrong = "; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in error.errors())
        return site.page(request, "error.html", status=422, message=f"The address says {wrong}")

    @app.exception_handler(Exception)
    def broken(request: Request, error: Exception) -> Response:
        _log.error("%s: %s", request.url.path, error_line(error, limit=1000))
        said = "Something is broken here. The log of Airflow's API server says what it is."
        if asks_for_json(request):
            return answer({"error": said}, status=500)
        return site.page(request, "error.html", status=500, message=said)

    return app
