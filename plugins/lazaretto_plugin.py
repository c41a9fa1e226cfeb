"""Airflow's way to the review page; loaded in every process, so it imports next to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

PREFIX = "/lazaretto"


class LazyApp:
    """An ASGI application that is built when the first request comes.

    Workers and the scheduler load plugins too, and would pay seconds for FastAPI and Airflow's
    security.

    Args:
        build: makes the application.
    """

    def __init__(self, build: Callable[[], ASGIApp]) -> None:
        self._build = build
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if self._app is None:
            self._app = self._build()
        await self._app(scope, receive, send)


def _build() -> ASGIApp:
    from lazaretto.plugins.app import create_app
    from lazaretto.plugins.security import SecureHeaders

    return SecureHeaders(create_app())


class LazarettoPlugin(AirflowPlugin):
    """Adds *Browse > Quarantine* to Airflow."""

    name = "lazaretto"
    fastapi_apps = [  # noqa: RUF012  as AirflowPlugin declares them
        {"app": LazyApp(_build), "url_prefix": PREFIX, "name": "Lazaretto"}
    ]
    # The trailing slash matters: without it Airflow's own page answers.
    external_views = [  # noqa: RUF012
        {
            "name": "Quarantine",
            "href": f"{PREFIX}/",
            "destination": "nav",
            "category": "browse",
            "url_route": "quarantine",
            "icon": f"{PREFIX}/static/lazaretto.svg",
        }
    ]
