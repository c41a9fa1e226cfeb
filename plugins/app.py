"""The review page: which batches are held and why; their records, and what is decided on them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import quote

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lazaretto.errors import (
    AdmissionRefusedError,
    LazarettoError,
    NotFoundError,
    OvertakenError,
    SystemFaultError,
    UsageError,
)
from lazaretto.plugins import api
from lazaretto.plugins.cases import FilterQuery, page_of_records, shorten
from lazaretto.plugins.security import Decides, may_read, signed_in
from lazaretto.quarantine.review import list_cases, list_decisions, list_publications, show_case
from lazaretto.quarantine.triage import triage_of_case
from lazaretto.received import load_batch
from lazaretto.sources.refused import refused_deliveries

if TYPE_CHECKING:
    from collections.abc import Callable

    from lazaretto.storage.workspace import Workspace

_HERE = Path(__file__).parent
_STATIC = {
    "review.css": "text/css",
    "review.js": "text/javascript",
    "lazaretto.svg": "image/svg+xml",
}
_PAGE_SIZE = 50
_STATUS = {
    NotFoundError: 404,
    OvertakenError: 409,
    AdmissionRefusedError: 409,
    UsageError: 422,
}


def create_app(open_workspace: Callable[[], Workspace] | None = None) -> FastAPI:
    """Builds the application; Airflow mounts it under the plugin's prefix.

    Every route is behind the application's own check that somebody is signed in, and has a check of
    what they may do. There is no mounted sub-application, because those checks would not apply to
    one.

    Args:
        open_workspace: opens catalog and store; default: the connection ``lazaretto_default``.
    """
    workspace = _saying_what_is_wrong(cache(open_workspace or _workspace_of_airflow))
    render = _renderer()
    app = FastAPI(
        title="Lazaretto", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[signed_in]
    )
    app.include_router(api.routes(workspace))

    @app.exception_handler(LazarettoError)
    def cannot_answer(request: Request, error: LazarettoError) -> Response:
        # The texts are made to be shown: they name no secret, and what they quote is escaped.
        status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 503)
        if "/api/" in request.url.path:
            return api.answer({"error": str(error)}, status=status)
        return render(request, "error.html", status=status, message=str(error))

    @app.get("/", dependencies=[may_read])
    def all_cases(
        request: Request,
        state: Literal["open", "closed", "all"] = "open",
        after: Annotated[str | None, Query(max_length=64)] = None,
    ) -> HTMLResponse:
        wanted = None if state == "all" else state.upper()
        found = list_cases(workspace(), state=wanted, after=after, limit=_PAGE_SIZE + 1)
        shown = found[:_PAGE_SIZE]
        older = shown[-1].id if len(found) > _PAGE_SIZE else None
        return render(request, "cases.html", cases=shown, state=state, after=after, older=older)

    @app.get("/refused", dependencies=[may_read])
    def all_refused(
        request: Request, before: Annotated[int | None, Query(ge=1)] = None
    ) -> HTMLResponse:
        with workspace().catalog.read() as connection:
            found = refused_deliveries(connection, before=before, limit=_PAGE_SIZE + 1)
        shown = found[:_PAGE_SIZE]
        older = shown[-1].seq if len(found) > _PAGE_SIZE else None
        return render(request, "refused.html", refusals=shown, before=before, older=older)

    @app.get("/cases/{case}", dependencies=[may_read])
    def one_case(
        request: Request,
        case: str,
        may_decide: Decides,
        after: Annotated[int, Query(ge=-1)] = -1,
    ) -> HTMLResponse:
        opened = workspace()
        found = show_case(opened, case)
        wanted = FilterQuery.of(request.query_params)
        return render(
            request,
            "case.html",
            case=found,
            page=page_of_records(opened, found, wanted, after=after, limit=_PAGE_SIZE),
            wanted=wanted.filter,
            first=after < 0,
            decisions=list_decisions(opened, case),
            publications=list_publications(opened, case),
            triage=triage_of_case(opened, case),
            may_decide=may_decide and found.state == "OPEN",
            reviewer=may_decide,
        )

    @app.get("/batches/{batch:path}", dependencies=[may_read], response_model=None)
    def case_of_batch(request: Request, batch: str) -> HTMLResponse | RedirectResponse:
        opened = workspace()
        cases = list_cases(opened, state=None, batch=batch, limit=1)
        if cases:
            return RedirectResponse(f"{_root(request)}/cases/{quote(cases[0].id)}", status_code=303)
        load_batch(opened, batch)
        return render(request, "unheld.html", batch=batch)

    @app.get("/static/{name}", dependencies=[may_read])
    def static(name: str) -> FileResponse:
        if name not in _STATIC:
            raise HTTPException(404, "no such file")
        return FileResponse(_HERE / "static" / name, media_type=_STATIC[name])

    return app


def _renderer() -> Callable[..., HTMLResponse]:
    # Autoescape for every template, not by file name: record content is the attacker's.
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["shorten"] = shorten

    def render(
        request: Request, template: str, *, status: int = 200, **values: Any
    ) -> HTMLResponse:
        text = environment.get_template(template).render(
            root=_root(request), status=status, **values
        )
        return HTMLResponse(text, status_code=status)

    return render


def _saying_what_is_wrong(open_workspace: Callable[[], Workspace]) -> Callable[[], Workspace]:
    """A workspace that cannot be opened is a fault of this site, not of what was asked for."""

    def opened() -> Workspace:
        try:
            return open_workspace()
        except LazarettoError as error:
            raise SystemFaultError(str(error)) from error

    return opened


def _root(request: Request) -> str:
    return str(request.scope.get("root_path", "")).rstrip("/")


def _workspace_of_airflow() -> Workspace:
    from lazaretto.operators.hook import LazarettoHook

    return LazarettoHook().workspace()
