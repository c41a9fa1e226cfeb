"""Feast's OpenLineage server takes every event of ours, and shows one version for each of a model.

The server is Feast's own, on SQLite; the events are posted as OpenLineage's HTTP transport does.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import time
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_STORE = """
project: lazaretto
provider: local
registry: {folder}/registry.db
online_store: {{type: sqlite, path: {folder}/online.db}}
openlineage:
  enabled: false
  consumer: {{enabled: true, connection_string: "sqlite:///{folder}/lineage.db"}}
"""
_SECONDS_TO_START = 120


@pytest.fixture(scope="module")
def feast(
    program: Callable[[str], Path],
    events: list[dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Path]:
    """What Feast's server made of the events: its database."""
    programs, folder = program("feast"), tmp_path_factory.mktemp("feast")
    (folder / "feature_store.yaml").write_text(_STORE.format(folder=folder))
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    command = [programs / "feast", "serve_lineage", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            stdout=log,
            stderr=log,
            env=os.environ | {"FEAST_USAGE": "False", "HOME": str(folder)},
        )
    try:
        here = f"http://127.0.0.1:{port}/api/v1/lineage"
        _wait(server, f"{here}/openlineage/jobs", folder / "log")
        for event in events:
            body = json.dumps(event).encode()
            request = Request(here, body, {"Content-Type": "application/json"})
            with urlopen(request, timeout=30) as answer:  # noqa: S310
                assert answer.status == 201, (event, answer.read())
        yield folder / "lineage.db"
    finally:
        server.terminate()
        server.wait(30)


def _wait(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    until = time.monotonic() + _SECONDS_TO_START
    while True:
        try:
            with urlopen(address, timeout=5):  # noqa: S310
                return
        except (URLError, OSError):
            assert server.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < until, log.read_text()[-3000:]
            time.sleep(0.5)


def _rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def test_every_event_is_kept_as_it_was_sent(feast: Path, events: list[dict[str, Any]]) -> None:
    kept = [json.loads(row[0]) for row in _rows(feast, "SELECT event_json FROM openlineage_events")]
    told = [json.dumps(event, sort_keys=True) for event in events]
    assert Counter(json.dumps(event, sort_keys=True) for event in kept) == Counter(told)


def test_a_model_has_one_version_for_each_that_was_registered(
    feast: Path,
    written: dict[tuple[str, str], list[str]],
    models: set[tuple[str, str]],
) -> None:
    query = "SELECT dataset_namespace, dataset_name, facets_json FROM openlineage_dataset_versions"
    shown: dict[tuple[str, str], list[str]] = {}
    for namespace, name, facets in _rows(feast, query):
        version = json.loads(facets).get("version", {}).get("datasetVersion", "")
        shown.setdefault((namespace, name), []).append(version)
    assert models
    for model in models:
        assert sorted(shown[model]) == sorted(set(written[model])), model
    # It counts each run that wrote: an admission, and the snapshot that freezes what it made.
    assert {key: sorted(found) for key, found in shown.items()} == {
        key: sorted(found) for key, found in written.items()
    }


def test_runs_have_their_times_and_the_run_that_they_are_part_of(
    feast: Path, events: list[dict[str, Any]]
) -> None:
    query = "SELECT run_id, state, started_at, ended_at, parent_run_id, root_run_id"
    rows = {row[0]: row[1:] for row in _rows(feast, f"{query} FROM openlineage_runs")}
    assert set(rows) == {event["run"]["runId"] for event in events}
    for event in events:
        parent = event["run"]["facets"].get("parent")
        if parent is not None and event["job"]["name"].startswith("lazaretto."):
            _, _, _, shown, root = rows[event["run"]["runId"]]
            assert shown == parent["run"]["runId"]
            assert root == parent["root"]["run"]["runId"]
