"""Who may see the review page, and who decides on it, by what Airflow's auth manager says.

Airflow authenticates nothing under a plugin's prefix by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.core_api.security import (
    GetUserDep,
    requires_authenticated,
)
from airflow.configuration import conf
from fastapi import Depends, HTTPException, Request
from starlette.datastructures import MutableHeaders

from lazaretto.plugins.permissions import (
    dataset_of,
    forbidden_datasets,
    hidden_datasets,
    is_allowed,
)
from lazaretto.text import visible
from lazaretto.values import Actor, ActorType

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# For the whole application: 401 for whoever has no valid token, before a route is even looked at.
signed_in = Depends(requires_authenticated())


def _access(method: Literal["GET", "PUT"]) -> Callable[[Request, BaseUser], None]:
    """What Airflow asks for to see or change the asset that the request's dataset is."""

    def check(request: Request, user: GetUserDep) -> None:
        dataset = dataset_of(request.app.state.site.workspace, request.path_params)
        if not is_allowed(user, method, dataset):
            raise HTTPException(403, "Forbidden")

    return check


def _access_to_all(method: Literal["GET", "PUT"]) -> Callable[[Request, BaseUser], None]:
    """The same for what is about every dataset at once: part of it would look like the whole."""

    def check(request: Request, user: GetUserDep) -> None:
        workspace = request.app.state.site.workspace
        if not is_allowed(user, method, None) or forbidden_datasets(workspace(), user, method):
            raise HTTPException(403, "Forbidden")

    return check


# For each route that reads.
may_read = Depends(_access("GET"))
# For each route that changes nothing, and computes for whoever may change something.
may_try = Depends(_access("PUT"))
# For each route that reads what may be about any dataset: incidents.
may_read_all = Depends(_access_to_all("GET"))

ASKED_HEADER = "X-Lazaretto-Request"
"""Header of every request that changes something: no form of another site can send one."""
EVERYBODY = "user:anybody (all admins)"
"""Who looked, where Airflow lets everybody in as the same user: nobody who could be named."""
_LONGEST_NAME = 200


def _asked_from_here(request: Request) -> None:
    """Refuses what another site makes a signed-in browser send."""
    if ASKED_HEADER.lower() not in request.headers:
        raise HTTPException(403, f"send the header {ASKED_HEADER}: 1 with what changes something")
    _sent_from_here(request)


def _sent_from_here(request: Request) -> None:
    """Refuses what a browser says that another site made it send."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        foreign = site not in ("same-origin", "none")
    else:  # older browsers, and those that are told by plain http; programs send neither
        # A proxy may have put another name into Host: then Airflow's base_url says ours.
        base = urlsplit(conf.get("api", "base_url", fallback="")).netloc
        ours = {request.headers.get("host"), base} - {None, ""}
        foreign = origin is not None and urlsplit(origin).netloc not in ours
    if foreign:
        raise HTTPException(403, "only pages of this site may ask for this")


# For each route that changes something: what Airflow asks for to change assets, and that it was
# asked for from here. Airflow's check of custom views would not do: under its simple auth manager
# that one lets everybody who may look also write.
may_decide = [Depends(_access("PUT")), Depends(_asked_from_here)]
# For each route that only computes, asked for by a form: it sends a body and no header of ours.
may_try_by_form = [Depends(_access("PUT")), Depends(_sent_from_here)]
# For each route that changes what may be about any dataset.
may_decide_all = [may_read_all, Depends(_access_to_all("PUT")), Depends(_asked_from_here)]


def _by_token(request: Request) -> None:
    """Refuses what a browser may have been made to send: its cookie does not count."""
    if not request.headers.get("authorization", "").lower().startswith("bearer "):
        raise HTTPException(403, "send a token of Airflow's in the header Authorization")


# For what programs send: what Airflow asks for to change assets, and a token in a header.
may_send = [Depends(_access("PUT")), Depends(_by_token)]


def _decides(request: Request, user: GetUserDep) -> bool:
    """Whether somebody may decide: what shows or hides the buttons, and is checked again there."""
    dataset = dataset_of(request.app.state.site.workspace, request.path_params)
    return is_allowed(user, "PUT", dataset) and not _nobody()


def _decides_all(request: Request, user: GetUserDep) -> bool:
    """The same for what may be about any dataset."""
    workspace = request.app.state.site.workspace
    allowed = is_allowed(user, "PUT", None) and not forbidden_datasets(workspace(), user, "PUT")
    return allowed and not _nobody()


def _hidden(request: Request, user: GetUserDep) -> list[str]:
    return hidden_datasets(request.app.state.site.workspace(), user)


def _actor(user: GetUserDep) -> Actor:
    """Who is signed in; nothing in a request can name somebody else.

    The id is taken and not the name, which some auth managers let people change: one person could
    be two by it.
    """
    if _nobody():
        raise HTTPException(
            403,
            "nobody is signed in: [core] simple_auth_manager_all_admins lets everybody in as the "
            "same user, so it cannot go on record who decided; switch it off to decide here",
        )
    name = visible(str(user.get_id()))
    if not name.strip() or len(name) > _LONGEST_NAME:
        raise HTTPException(403, "Airflow's auth manager gives no id that can go on record")
    return Actor(ActorType.HUMAN, f"user:{name}")


def _reader(user: GetUserDep) -> Actor:
    """Who looks: as `_actor`, but where everybody is let in as one, that is what goes on record."""
    return Actor(ActorType.SERVICE, EVERYBODY) if _nobody() else _actor(user)


def _login(user: GetUserDep) -> str | None:
    """The name that is on record for somebody, to fill it in; None where nobody can be named."""
    try:
        return _actor(user).id
    except HTTPException:
        return None


def _nobody() -> bool:
    """Whether Airflow signs everybody in as the same user."""
    option = "simple_auth_manager_all_admins"
    everybody = conf.getboolean("core", option, fallback=False)
    return bool(everybody) and isinstance(get_auth_manager(), SimpleAuthManager)


SignedIn = Annotated[Actor, Depends(_actor)]
"""The person that Airflow's auth manager authenticated."""
Reader = Annotated[Actor, Depends(_reader)]
"""Whoever is shown something; not authenticated where Airflow lets everybody in as one user."""
Login = Annotated[str | None, Depends(_login)]
"""The name of that person on record, such as ``user:ann``; None where nobody can be named."""
Decides = Annotated[bool, Depends(_decides)]
"""Whether that person may decide."""
DecidesAll = Annotated[bool, Depends(_decides_all)]
"""The same for what may be about any dataset."""

Hidden = Annotated[list[str], Depends(_hidden)]
"""Datasets whose cases that person may not see in a list."""

_HEADERS = {
    # What vendors deliver is shown on these pages: nothing of it may run, load or frame anything.
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "object-src 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
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
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                # What a route says may be kept, such as a large map, is asked for again each time.
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self.app(scope, receive, send_with_headers)
