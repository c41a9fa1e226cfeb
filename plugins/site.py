"""What every page and route of the review page shares: the workspace, and how pages are made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Path as PathParameter
from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic_core import to_json

from lazaretto.errors import (
    AdmissionRefusedError,
    LazarettoError,
    NotFoundError,
    OvertakenError,
    PromotionRefusedError,
    SystemFaultError,
    UsageError,
)
from lazaretto.plugins.assets import bundled
from lazaretto.plugins.short import shorten

if TYPE_CHECKING:
    from collections.abc import Callable

    from lazaretto.storage.workspace import Workspace

_TEMPLATES = Path(__file__).parent / "templates"
_STATUS = {
    NotFoundError: 404,
    OvertakenError: 409,
    AdmissionRefusedError: 409,
    PromotionRefusedError: 409,
    UsageError: 422,
}

MOST = 2**53
"""The largest number in an address: the last one that a script counts to."""
Position = Annotated[int, PathParameter(ge=0, le=MOST)]
"""Place of a held record in its batch, as a part of an address."""


@dataclass(frozen=True, slots=True)
class Site:
    """What a route needs to answer.

    Attributes:
        workspace: opens catalog and store; opened once, when the first request needs it.
        templates: of the pages.
    """

    workspace: Callable[[], Workspace]
    templates: Environment

    @classmethod
    def of(cls, open_workspace: Callable[[], Workspace] | None) -> Site:
        """Makes it.

        Args:
            open_workspace: opens catalog and store; default: the connection ``lazaretto_default``.
        """
        opened = _saying_what_is_wrong(cache(open_workspace or workspace_of_airflow))
        # Autoescape for every template, not by file name: record content is the attacker's.
        templates = Environment(
            loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined
        )
        templates.filters["shorten"] = shorten
        templates.tests["bundled"] = bundled
        return cls(opened, templates)

    def page(
        self, request: Request, template: str, *, status: int = 200, **values: Any
    ) -> HTMLResponse:
        """A page from its template."""
        made = self.templates.get_template(template)
        text = made.render(root=root_of(request), status=status, **values)
        return HTMLResponse(text, status_code=status)

    def failure(self, request: Request, error: LazarettoError) -> Response:
        """What cannot be done, in words: as a page, or as JSON to a program.

        The texts are made to be shown: they name no secret, and what they quote is escaped.
        """
        status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 503)
        if asks_for_json(request):
            told = {"error": str(error), "kind": type(error).__name__}
            code = getattr(error, "code", None)
            return answer(told if code is None else told | {"code": code}, status=status)
        return self.page(request, "error.html", status=status, message=str(error))


def answer(value: object, *, status: int = 200) -> Response:
    """Dataclasses as JSON; a number that JSON does not know (NaN) is null."""
    text = to_json(value, inf_nan_mode="null")
    return Response(text, status_code=status, media_type="application/json")


def asks_for_json(request: Request) -> bool:
    """Whether a request goes to the API and not to a page."""
    return "/api/" in request.url.path


def root_of(request: Request) -> str:
    """Where the application is mounted, such as ``/lazaretto``."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def _saying_what_is_wrong(open_workspace: Callable[[], Workspace]) -> Callable[[], Workspace]:
    """A workspace that cannot be opened is a fault of this site, not of what was asked for."""

    def opened() -> Workspace:
        try:
            return open_workspace()
        except LazarettoError as error:
            raise SystemFaultError(str(error)) from error

    return opened


def workspace_of_airflow() -> Workspace:
    """Opens what the connection ``lazaretto_default`` names."""
    from lazaretto.operators.hook import LazarettoHook

    return LazarettoHook().workspace()
