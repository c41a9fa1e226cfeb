"""The review page with Airflow's own authentication: without a server, and in a real browser."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import airflow_environment
import pytest
from browsing import chromium
from yard import Yard, make_yard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lazaretto.storage.workspace import Workspace

HOME = airflow_environment.use()


@pytest.fixture
def workspace(sqlite_catalog: str, tmp_path: Path) -> Workspace:
    """An empty workspace."""
    from lazaretto.storage.workspace import open_workspace

    return open_workspace(catalog_url=sqlite_catalog, store=tmp_path / "store")


@pytest.fixture(scope="session")
def token() -> Callable[[str], dict[str, str]]:
    """Makes the header of a signed-in user with a role of Airflow's simple auth manager."""
    from airflow.api_fastapi.app import create_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    airflow_environment.prepare_database()
    manager = create_auth_manager()
    manager.init()

    def header(role: str) -> dict[str, str]:
        jwt = manager.generate_jwt(SimpleAuthManagerUser(username=role.lower(), role=role))
        return {"Authorization": f"Bearer {jwt}"}

    return header


@pytest.fixture
def yard(workspace: Workspace, fitted_reference: str, tmp_path: Path) -> Yard:
    """A workspace with two sources and a reference of three classes."""
    return make_yard(workspace, fitted_reference, tmp_path)


@pytest.fixture
def site(yard: Yard) -> Iterator[str]:
    """The page as Airflow mounts it, on a port of this machine."""
    import uvicorn
    from fastapi import FastAPI

    from lazaretto.plugins.app import create_app
    from lazaretto.plugins.security import SecureHeaders

    airflow = FastAPI()
    airflow.mount("/lazaretto", SecureHeaders(create_app(lambda: yard.workspace)))
    server = uvicorn.Server(uvicorn.Config(airflow, port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.05)
        assert thread.is_alive()
    (listener,) = server.servers[0].sockets
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/lazaretto"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Callable[..., Any]]:
    """Starts a real browser, each kind once a module."""
    with chromium() as start:
        yield start


@pytest.fixture
def sign_in(
    request: pytest.FixtureRequest,
    browser: Callable[..., Any],
    site: str,
    token: Callable[[str], dict[str, str]],
) -> Iterator[Callable[..., Any]]:
    """A page of somebody with a role; every request and every error of it is kept.

    It draws maps where the test has the mark `webgl`, or asks for it.
    """
    contexts, draws = [], request.node.get_closest_marker("webgl") is not None

    def page(role: str, *, width: int = 1280, webgl: bool = draws, **options: Any) -> Any:
        context = browser(webgl=webgl).new_context(
            viewport={"width": width, "height": 900}, **options
        )
        context.set_default_timeout(120_000)  # a machine that others use draws slowly
        contexts.append(context)
        jwt = token(role)["Authorization"].split()[1]
        context.add_cookies([{"name": "_token", "value": jwt, "url": site}])
        opened = context.new_page()
        opened.asked, opened.wrong = [], []
        opened.on("request", lambda request: opened.asked.append(request.url))
        opened.on("pageerror", lambda error: opened.wrong.append(str(error)))
        opened.on("console", lambda line: _note_refusal(opened, line.text))
        opened.on("dialog", lambda dialog: opened.wrong.append(dialog.message))
        return opened

    yield page
    for context in contexts:
        context.close()


def _note_refusal(page: Any, line: str) -> None:
    """What the content security policy refuses is told to the console alone."""
    if "Content Security Policy" in line:
        page.wrong.append(line)
