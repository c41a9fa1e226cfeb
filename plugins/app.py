"""The review page as one application: every page and API route, behind one check of who asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response

from lazaretto.errors import LazarettoError
from lazaretto.plugins import api, pages
from lazaretto.plugins.security import signed_in
from lazaretto.plugins.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable

    from lazaretto.storage.workspace import Workspace


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

    return app
