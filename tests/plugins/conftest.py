"""The review page with Airflow's own authentication, without a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import airflow_environment
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
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
