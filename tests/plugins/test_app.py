"""Nobody sees the review page unasked, and nothing that a vendor wrote runs in it."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

import pytest
from site_routes import routes

from lazaretto.errors import LazarettoError, NotFoundError, SystemFaultError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.testclient import TestClient

    from lazaretto.storage.workspace import Workspace

    Token = Callable[[str], dict[str, str]]

pytestmark = pytest.mark.airflow
COMPUTES = "/gates/{dataset}/candidate"
"""The page that is asked for by a form, because a policy is too long for an address."""


@pytest.fixture
def client(workspace: Workspace) -> TestClient:
    from starlette.testclient import TestClient

    from lazaretto.plugins.app import create_app
    from lazaretto.plugins.security import SecureHeaders

    return TestClient(SecureHeaders(create_app(lambda: workspace)), follow_redirects=False)


def paths() -> dict[str, str]:
    """The path of every route, with something in place of each parameter; its method."""
    return {re.sub(r"{[^}]*}", "x", route.path): next(iter(route.methods)) for route in routes()}


def test_the_walk_over_the_routes_sees_them_all() -> None:
    from fastapi.routing import APIRoute

    assert {
        "/",
        "/cases/{case}",
        "/batches/{batch:path}",
        "/static/{name:path}",
        "/api/v1/cases",
        "/api/v1/cases/{case}/decisions",
        "/sources/{name}/trace",
        "/gates/{dataset}/explore",
    } <= {route.path for route in routes()}
    # A mounted application or a bare route would not be behind the application's dependencies.
    assert all(type(getattr(r, "original_route", r)) is APIRoute for r in routes())


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
def test_anonymous_gets_nothing_from_any_route(
    client: TestClient, token: Token, method: str
) -> None:
    known = paths()
    for path in [*known, "/no/such/page", "/static/../app.py"]:
        for headers in ({}, {"Authorization": "Basic YTpi"}, {"Cookie": "_token=forged"}):
            response = client.request(method, path, headers=headers)
            wrong = {200, 201, 303, 307} if path in known else {200}
            assert response.status_code not in wrong, (method, path)
            if method == known.get(path):
                assert response.status_code in ({401} if "Cookie" not in headers else {401, 403}), (
                    path
                )


@pytest.mark.parametrize(
    "error",
    [
        SystemFaultError("the catalog is busy: all connections are in use; try again"),
        NotFoundError("there is no catalog: `lazaretto catalog upgrade` makes it"),
        UsageError("nothing says where Lazaretto's catalog_url is"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_catalog_that_cannot_be_used_is_said_and_is_no_missing_case(
    token: Token, error: LazarettoError
) -> None:
    from starlette.testclient import TestClient

    from lazaretto.plugins.app import create_app
    from lazaretto.plugins.security import SecureHeaders

    def away() -> Workspace:
        raise error

    client = TestClient(SecureHeaders(create_app(away)))
    for path in ("/", "/cases/case-1", "/batches/vendor-a/x"):
        response = client.get(path, headers=token("Admin"))
        assert response.status_code == 503
        assert str(error) in unescape(response.text)
        assert response.headers["content-type"].startswith("text/html")
    said = client.get("/api/v1/cases", headers=token("Admin"))
    assert said.status_code == 503
    assert said.json() == {"error": str(error), "kind": "SystemFaultError"}


def test_a_forged_token_is_refused(client: TestClient, token: Token) -> None:
    for path, method in paths().items():
        response = client.request(method, path, headers={"Authorization": "Bearer e30.e30.e30"})
        assert response.status_code in (401, 403)


def test_every_route_asks_for_a_permission_not_just_for_a_name() -> None:
    from lazaretto.plugins.security import (
        may_decide,
        may_decide_all,
        may_read,
        may_read_all,
        may_send,
        may_try_by_form,
        signed_in,
    )

    for route in routes():
        asks = route.dependencies
        assert signed_in in asks, route.path
        needed = [may_read] if route.methods == {"GET"} else may_decide
        if any(part in route.path for part in ("/incidents", "/incident/", "/models")):  # of any
            needed = [may_read_all] if route.methods == {"GET"} else may_decide_all
        if route.path == "/api/v1/lineage":  # programs send events there, by a token alone
            needed = may_send
        if route.path == COMPUTES:
            needed = [may_read, *may_try_by_form]
        assert all(each in asks for each in needed), route.path
        # Airflow's check would take it for the asset in question.
        assert "asset_id" not in route.path


@pytest.mark.parametrize("role", ["VIEWER", "USER", "OP", "ADMIN"])
def test_who_may_see_assets_may_read(client: TestClient, token: Token, role: str) -> None:
    assert client.get("/", headers=token(role)).status_code == 200
    assert client.get("/static/review.css", headers=token(role)).status_code == 200


def test_only_the_api_changes_anything() -> None:
    for route in routes():
        if route.methods != {"GET"} and route.path != COMPUTES:
            assert route.methods == {"POST"}
            assert route.path.startswith("/api/v1/")


def test_headers_forbid_foreign_code_and_foreign_frames(client: TestClient, token: Token) -> None:
    for path, headers in [("/", token("VIEWER")), ("/", {}), ("/no/such/page", token("VIEWER"))]:
        response = client.get(path, headers=headers)
        policy = response.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'self'" in policy
        assert "unsafe" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "role", "status", "words"),
    [
        ("/", None, 401, "Sign in to Airflow"),
        ("/cases/case-1", None, 401, "Sign in to Airflow"),
        ("/?state=x", "VIEWER", 422, "state: Input should be"),
        ("/no/such/page", "VIEWER", 404, "There is no such page"),
        ("/static/none.js", "VIEWER", 404, "There is no such page"),
        ("/cases/case-1", "VIEWER", 404, "no case"),
    ],
)
def test_what_goes_wrong_is_a_page_in_words(
    client: TestClient, token: Token, path: str, role: str | None, status: int, words: str
) -> None:
    said = client.get(path, headers={} if role is None else token(role))
    assert (said.status_code, said.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert words in unescape(said.text)
    assert "content-security-policy" in said.headers


def test_a_fault_of_ours_is_a_page_too_and_says_nothing_of_the_inside(token: Token) -> None:
    from starlette.testclient import TestClient

    from lazaretto.plugins.app import create_app
    from lazaretto.plugins.security import SecureHeaders

    def broken() -> Workspace:
        raise ZeroDivisionError("postgresql://ann:secret@host/db")

    app = SecureHeaders(create_app(broken))
    client = TestClient(app, raise_server_exceptions=False)
    page = client.get("/", headers=token("VIEWER"))
    assert (page.status_code, "secret" in page.text) == (500, False)
    assert "Something is broken here" in unescape(page.text)
    told = client.get("/api/v1/cases", headers=token("VIEWER"))
    assert (told.status_code, "secret" in told.text) == (500, False)
