"""The doctor's look at Airflow: where its tasks would find catalog and store.

Airflow is not imported, because that takes seconds and makes its folder and configuration where
there are none. What tasks read is read as they do: environment, configuration, connection.
"""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from lazaretto.health.examined import cannot_say, failure, ok, warning
from lazaretto.storage.catalog import supported_url
from lazaretto.storage.settings import CATALOG_VARIABLE, CONNECTION_ID, STORE_VARIABLE
from lazaretto.storage.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lazaretto.health.examined import Line
    from lazaretto.storage.workspace import Workspace

_SECONDS = 120
_KEYS = ("catalog_url", "store")
_VARIABLES = {"catalog_url": CATALOG_VARIABLE, "store": STORE_VARIABLE}
_CONNECTION_VARIABLE = f"AIRFLOW_CONN_{CONNECTION_ID.upper()}"
_ADD = (
    f"airflow connections add {CONNECTION_ID} --conn-type lazaretto --conn-extra "
    '\'{"catalog_url": "postgresql://lazaretto@db/lazaretto", "store": "s3://bucket/lazaretto"}\''
)


def airflow(workspace: Workspace | None) -> Iterator[Line]:
    """Whether tasks of an Airflow that is configured here find this catalog and this store."""
    if find_spec("airflow") is None:
        yield ok("airflow", "not installed")
        return
    version = _version()
    home = Path(os.environ.get("AIRFLOW_HOME") or "~/airflow").expanduser()
    file = Path(os.environ.get("AIRFLOW_CONFIG") or home / "airflow.cfg").expanduser()
    if not file.is_file() and not any(name.startswith("AIRFLOW_") for name in os.environ):
        yield ok("airflow", f"{version}, not configured on this machine")
        return
    config = configparser.ConfigParser(interpolation=None, strict=False)
    config.read(file, "utf-8")
    told = _told(config)
    where = "environment and configuration"
    if told.keys() < set(_KEYS):
        asked = _connection(home, config)
        if isinstance(asked, str):
            found = f"{version}: {CONNECTION_ID} cannot be asked for: {asked}"
            yield cannot_say("airflow", found, f"`airflow connections get {CONNECTION_ID}`")
            return
        if asked is None:
            found = f"{version}: there is no connection {CONNECTION_ID}, and tasks refuse to guess"
            yield failure("airflow", found, _ADD)
            return
        told, where = asked | told, f"connection {CONNECTION_ID}"
    missing = [key for key in _KEYS if not told.get(key)]
    if missing:
        found = f"{version}: the {where} lacks {' and '.join(missing)}"
        yield failure("airflow", found, f"set it in the connection's extra: {_ADD}")
    elif workspace is not None and (other := _others(workspace, told)):
        found = f"{version}: by its {where}, tasks use another {' and another '.join(other)}"
        yield warning("airflow", found, "give tasks and people the same catalog and store")
    else:
        yield ok("airflow", f"{version}: tasks find catalog and store by its {where}")


def _version() -> str:
    for name in ("apache-airflow", "apache-airflow-core", "apache-airflow-task-sdk"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "a version that is not known"


def _told(config: configparser.ConfigParser) -> dict[str, str]:
    """What environment and configuration say, in the order in which tasks ask them."""
    found = {
        key: os.environ.get(_VARIABLES[key])
        or os.environ.get(f"AIRFLOW__LAZARETTO__{key.upper()}")
        or config.get("lazaretto", key, fallback=None)
        for key in _KEYS
    }
    return {key: value for key, value in found.items() if value}


def _connection(home: Path, config: configparser.ConfigParser) -> dict[str, Any] | str | None:
    """The extra of the connection; why it cannot be asked for; None: there is no connection."""
    written = os.environ.get(_CONNECTION_VARIABLE)
    if written is not None:
        return _extra_of(written)
    named = os.environ.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN")
    named = named or config.get("database", "sql_alchemy_conn", fallback=None)
    database = named or f"sqlite:///{home / 'airflow.db'}"
    file = Path(database.removeprefix("sqlite:///"))
    if database.startswith("sqlite:///") and not file.is_file():
        return "its database is not made yet"
    command = [sys.executable, "-m", "airflow", "connections", "get", CONNECTION_ID, "-o", "json"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    if done.returncode:
        return None if "not found" in (done.stderr + done.stdout).lower() else "it fails"
    start = done.stdout.find("[{")
    try:
        (found,) = json.loads(done.stdout[start:])
        return _extra(found.get("extra_dejson") or found.get("extra"))
    except (ValueError, AttributeError):
        return "its answer cannot be read"


def _extra_of(written: str) -> dict[str, Any] | str:
    """The extra of a connection as an environment variable has it: JSON, or a URI."""
    try:
        if written.lstrip().startswith("{"):
            return _extra(json.loads(written).get("extra"))
        options = dict(parse_qsl(urlsplit(written).query))
        return _extra(options.get("__extra__") or options)
    except (ValueError, AttributeError):
        return f"{_CONNECTION_VARIABLE} is neither JSON nor a URI"


def _extra(value: object) -> dict[str, Any]:
    found = json.loads(value) if isinstance(value, str) and value else value
    return found if isinstance(found, dict) else {}


def _others(workspace: Workspace, told: Mapping[str, Any]) -> list[str]:
    """What is another one than this workspace's."""
    theirs, ours = supported_url(str(told["catalog_url"])), workspace.catalog.engine.url
    parts = ("drivername", "host", "port", "database")
    other = [] if all(getattr(theirs, p) == getattr(ours, p) for p in parts) else ["catalog"]
    same_store = Store.at(str(told["store"])).root == workspace.store.root
    return other if same_store else [*other, "store"]
