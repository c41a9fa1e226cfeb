"""Operators run in real Airflow here, on a throw-away home and a workspace of each test's own."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import airflow_environment
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOME = airflow_environment.use()


@pytest.fixture(scope="session")
def airflow_db() -> Path:
    """Airflow's home, with its database ready."""
    airflow_environment.prepare_database()
    return HOME


@pytest.fixture
def dags_folder(airflow_db: Path) -> Iterator[Path]:
    """An empty DAGs folder that Airflow knows."""
    folder = airflow_db / "dags"
    yield folder
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
