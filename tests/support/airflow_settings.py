"""The environment of an Airflow of its own: settings, users, databases; for `servers.py`."""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_OTHERS = ("AIRFLOW", "AWS_", "LAZARETTO_", "OTEL_", "OPENLINEAGE")


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may sign in.

    Attributes:
        name: what to sign in with.
        role: of Airflow's simple auth manager: viewer, user, op or admin.
        password: a random one.
    """

    name: str
    role: str
    password: str = field(repr=False, default_factory=lambda: secrets.token_urlsafe(9))


def airflow_environment(
    folder: Path,
    port: int,
    users: Iterable[User],
    *,
    home: Path,
    dags: Path,
    database: str,
    parallelism: int,
) -> dict[str, str]:
    """The environment of an Airflow of its own; nothing of the caller's Airflow is in it.

    Args:
        folder: of the deployment; gets the passwords, an empty home folder and one for
            temporary files.
        port: of the API server.
        users: who may sign in.
        home: AIRFLOW_HOME.
        dags: the DAGs folder.
        database: of Airflow.
        parallelism: how many tasks run at once.
    """
    people = list(users)
    passwords = folder / "passwords.json"
    passwords.touch(mode=0o600)
    passwords.write_text(json.dumps({user.name: user.password for user in people}))
    for name in ("home", "tmp"):
        (folder / name).mkdir()
    here = f"http://127.0.0.1:{port}"
    settings = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__BASE_URL": here,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{here}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": str(parallelism),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
            f"{user.name}:{user.role}" for user in people
        ),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "HOME": str(folder / "home"),  # nothing may be made there
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(folder / "tmp"),  # what is ended at once cannot tidy up
    }
    if not database.startswith("sqlite"):
        settings["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC"] = database
    return kept(os.environ) | settings


def lineage_to(file: Path, namespace: str) -> dict[str, str]:
    """Settings that append OpenLineage events to a file."""
    transport = {"type": "file", "log_file_path": str(file), "append": True}
    return {
        "AIRFLOW__OPENLINEAGE__NAMESPACE": namespace,
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
    }


def kept(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what would lead to somebody's real Airflow, catalog or buckets."""
    return {name: value for name, value in environment.items() if not name.startswith(_OTHERS)}


def create_databases(url: str, names: Iterable[str]) -> None:
    """Makes databases on a PostgreSQL server.

    Args:
        url: of its database ``postgres``.
        names: of the new ones.
    """
    import sqlalchemy as sa

    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in names:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
