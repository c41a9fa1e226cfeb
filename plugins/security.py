"""Who may see the review page: Airflow authenticates nothing under a plugin's prefix by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.api_fastapi.core_api.security import requires_access_asset, requires_authenticated
from fastapi import Depends
from starlette.datastructures import MutableHeaders

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# For the whole application: 401 for whoever has no valid token, before a route is even looked at.
signed_in = Depends(requires_authenticated())

# For each route that reads: what Airflow asks for to see assets. No route has a parameter named
# `asset_id`, which that check would take for the asset in question.
may_read = Depends(requires_access_asset("GET"))

_HEADERS = {
    # What vendors deliver is shown on these pages: nothing of it may run, load or frame anything.
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "object-src 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class SecureHeaders:
    """Sets the security headers on every response, errors included.

    Args:
        app: the application behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self.app(scope, receive, send_with_headers)
