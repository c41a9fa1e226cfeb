"""Announcing a version to an Airflow elsewhere, over its REST API, with a token of somebody's."""

from __future__ import annotations

import http.client
import ipaddress
import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ValidationError

from lazaretto.dataset.announce import announce_once, as_extra, was_announced
from lazaretto.errors import NotFoundError, SystemFaultError, UsageError
from lazaretto.names import asset_uri
from lazaretto.redact import safe_uri

if TYPE_CHECKING:
    from lazaretto.dataset.announce import News
    from lazaretto.storage.workspace import Workspace

_SECONDS = 10.0
_MOST_BYTES = 8 * 2**20
_AT_ONCE, _PAGES = 100, 100


@dataclass(frozen=True, slots=True)
class AirflowApi:
    """An Airflow, and who asks it.

    Attributes:
        url: its base URL, such as ``https://airflow.example``, without ``/api/v2``.
        token: JSON web token; it is sent to this address alone, and shown nowhere.
    """

    url: str
    token: str = field(repr=False)


def check_airflow_url(url: str, *, name: str) -> str:
    """The base URL of an Airflow, if a token may go there: by https, or to this machine.

    Args:
        url: its address, without user and password.
        name: of the option or argument that it was given as, for the message.

    Raises:
        UsageError: it is no address, or not a safe one.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise UsageError(f"{name} is the address of Airflow, such as https://airflow.example")
    if parts.scheme == "http" and not _is_here(parts.hostname):
        raise UsageError(f"{name} must be https: over http anybody on the way reads the token")
    return url.rstrip("/")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def announce_over_http(workspace: Workspace, dataset: str, made: int, airflow: AirflowApi) -> bool:
    """Tells Airflow of a version, so that what is scheduled on the dataset's asset starts.

    Each version is told once, see `announce_once`. Airflow asks for the right to create asset
    events. What goes wrong here changes nothing of the version: whatever watches the ledger
    (``admitted(name, watch=True)``) announces it later.

    Args:
        workspace: catalog and store; whoever acts through it announces.
        dataset: its name.
        made: ledger entry that made the version, such as ``Admission.seqs[-1]``.
        airflow: whom to tell.

    Returns:
        Whether it was told now; False: it was announced before.

    Raises:
        UsageError: the URL is none or not a safe one, or the token does not do.
        NotFoundError: Airflow knows no such asset, so that no DAG is scheduled on it.
        SystemFaultError: Airflow cannot be reached, or fails.
    """
    check_airflow_url(airflow.url, name="the URL")
    if was_announced(workspace, dataset, made):
        return False
    asset = _asset(airflow, asset_uri(dataset))

    def tell(news: News) -> None:
        _ask(airflow, "/assets/events", {"asset_id": asset, "extra": as_extra(news)})

    return announce_once(workspace, dataset, made, tell)


class _Asset(BaseModel):
    id: int
    uri: str


class _Assets(BaseModel):
    assets: list[_Asset]
    total_entries: int


def _asset(airflow: AirflowApi, uri: str) -> int:
    """Airflow's number of an asset; its filter also takes those that only look like it."""
    seen = 0
    for _ in range(_PAGES):
        query = f"uri_pattern={quote(uri, safe='')}&limit={_AT_ONCE}&offset={seen}"
        try:
            page = _Assets.model_validate_json(_ask(airflow, f"/assets?{query}"))
        except ValidationError:
            raise SystemFaultError(
                f"{safe_uri(airflow.url)} does not answer as an Airflow does"
            ) from None
        for asset in page.assets:
            if asset.uri == uri:
                return asset.id
        seen += len(page.assets)
        if not page.assets or seen >= page.total_entries:
            break
    raise NotFoundError(
        f"the Airflow at {safe_uri(airflow.url)} knows no asset {uri}: no DAG is scheduled on it "
        "or has it as an outlet"
    )


def _ask(airflow: AirflowApi, path: str, body: dict[str, Any] | None = None) -> bytes:
    request = urllib.request.Request(  # noqa: S310  whoever calls checked the scheme
        airflow.url.rstrip("/") + "/api/v2" + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {airflow.token}",
            "Content-Type": "application/json",
            "Accept": "application/json",
        },
    )
    shown = safe_uri(airflow.url)
    try:
        opener = urllib.request.build_opener(_NoRedirects)
        with opener.open(request, timeout=_SECONDS) as answer:
            return bytes(answer.read(_MOST_BYTES))
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403):
            raise UsageError(
                f"the Airflow at {shown} answers {error.code}: give a token that is valid and may "
                "read assets and create asset events"
            ) from None
        raise SystemFaultError(f"the Airflow at {shown} answers {error.code}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise SystemFaultError(
            f"the Airflow at {shown} cannot be reached now: {type(reason).__name__}"
        ) from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The token goes nowhere else."""

    def redirect_request(self, *_: object) -> None:
        """Makes no further request; the answer is raised as `HTTPError`."""
