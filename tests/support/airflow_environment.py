"""Real Airflow for tests, on a throw-away home; `use` must run before Airflow is imported."""

from __future__ import annotations

import atexit
import json
import os
import secrets
import shutil
import sys
import tempfile
from functools import cache
from pathlib import Path

MARK = f"LAZARETTO_TEST_AIRFLOW_HOME_{os.environ.get('PYTEST_XDIST_WORKER', '')}"
"""One for each worker: where the one that starts them has a home already, they would share it."""
DAGS = Path(__file__).parents[2] / "dags"


def use() -> Path:
    """Points this process at a throw-away AIRFLOW_HOME, once; returns it."""
    if MARK in os.environ:
        return Path(os.environ[MARK])
    if "airflow.configuration" in sys.modules:
        raise RuntimeError("Airflow was imported before its settings stood: it would use ~/airflow")
    home = Path(tempfile.mkdtemp(prefix="lazaretto-airflow-"))
    atexit.register(_remove, home, os.getpid())
    transport = {"type": "file", "log_file_path": str(events_file(home)), "append": True}
    os.environ |= {
        MARK: str(home),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
        "AIRFLOW__OPENLINEAGE__NAMESPACE": "airflow-test",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    (home / "dags").mkdir()
    return home


def _remove(home: Path, owner: int) -> None:
    if os.getpid() == owner:  # not in a child that Airflow forked
        shutil.rmtree(home, ignore_errors=True)


@cache
def prepare_database() -> None:
    """Creates Airflow's database, once a process; takes seconds."""
    from airflow.utils.db import initdb

    initdb()


def events_file(home: Path) -> Path:
    """Where Airflow appends its OpenLineage events."""
    return home / "openlineage.jsonl"
