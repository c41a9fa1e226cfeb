from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ledger_history import History
from openlineage.client.transport import Transport

from lazaretto import lineage
from lazaretto.lineage.openlineage import emit
from lazaretto.lineage.openlineage import lease as _lease
from lazaretto.lineage.openlineage.parent import Parent
from lazaretto.storage import tables
from lazaretto.storage.store import Store
from lazaretto.storage.workspace import Workspace, open_workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.alike


class Recorder(Transport):
    """A transport in memory that can be told to fail from the n-th event on."""

    kind = "recorder"

    def __init__(self, fail_from: int | None = None) -> None:
        self.events: list[Any] = []
        self.fail_from = fail_from

    def emit(self, event: Any) -> None:
        if self.fail_from is not None and len(self.events) >= self.fail_from:
            raise ConnectionError("no route to https://user:hunter2@backend.example/api?key=s3cr3t")
        self.events.append(event)

    def seqs(self) -> list[int]:
        return [
            event.run.facets["lazaretto_integrity"].seq
            for event in self.events
            if "lazaretto_integrity" in event.run.facets
        ]


@pytest.fixture(autouse=True)
def no_openlineage_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG", "OPENLINEAGE_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def _lines(workspace: Workspace) -> list[dict[str, Any]]:
    path = Path(workspace.store.uri("lineage/events.jsonl"))
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_entry_is_sent_once_and_in_order(workspace: Workspace) -> None:
    history, sink = History(workspace), Recorder()
    with history.at_once():
        for day in range(120):
            history.receive(day=day)
    assert lineage.flush(workspace, transport=sink) == 120
    history.receive(day=200)
    assert lineage.flush(workspace, transport=sink) == 1
    assert lineage.flush(workspace, transport=sink) == 0
    assert sink.seqs() == list(range(1, 122))


def test_events_go_next_to_the_store_by_default(sqlite_workspace: Workspace) -> None:
    History(sqlite_workspace).receive()
    assert lineage.flush(sqlite_workspace) == 1
    assert [event["eventType"] for event in _lines(sqlite_workspace)] == ["START", "COMPLETE"]


def test_a_remote_store_gets_files_that_are_written_whole(
    sqlite_catalog: str, tmp_path: Path
) -> None:
    opened = open_workspace(catalog_url=sqlite_catalog, store=tmp_path)
    workspace = replace(opened, store=Store.at("memory://lineage-test"))
    history = History(workspace)
    for day in range(60):
        history.receive(day=day)
    assert lineage.flush(workspace) == 60
    files = workspace.store.list("lineage")
    text = b"".join(workspace.store.read_unverified(file, 1 << 24) for file in files).decode()
    assert len(text.splitlines()) == 120
    assert files[0] == "lineage/events-000000000001-000000000050.jsonl"


def test_a_failing_backend_leaves_the_cursor_and_says_so(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    history = History(workspace)
    with history.at_once():
        for day in range(80):
            history.receive(day=day)
    broken = Recorder(fail_from=110)  # within the second chunk of 50 entries
    with caplog.at_level(logging.WARNING):
        assert lineage.flush(workspace, transport=broken) == 50
    assert "ConnectionError" in caplog.text
    assert "30 ledger entries wait" in caplog.text
    assert "hunter2" not in caplog.text
    assert "s3cr3t" not in caplog.text
    mended = Recorder()
    drained = lineage.drain(workspace, transport=mended)
    assert (drained.entries, drained.remaining, drained.problem) == (30, 0, None)
    assert sorted({*broken.seqs(), *mended.seqs()}) == list(range(1, 81))


def test_what_comes_twice_comes_with_the_same_run_ids(workspace: Workspace) -> None:
    History(workspace).receive()
    first = Recorder(fail_from=1)
    assert lineage.flush(workspace, transport=first) == 0
    second = Recorder()
    assert lineage.flush(workspace, transport=second) == 1
    assert first.events[0] == second.events[0]


def test_one_process_sends_at_a_time(workspace: Workspace) -> None:
    History(workspace).receive()
    lease = _lease.acquire(workspace.catalog, emit.CURSOR)
    assert isinstance(lease, int)
    sink = Recorder()
    drained = lineage.drain(workspace, transport=sink)
    assert (drained.entries, drained.remaining, drained.problem) == (0, 1, None)
    assert drained.held is not None
    assert f"process {os.getpid()}" in drained.held.holder
    assert drained.held.until == datetime.fromtimestamp(lease // 10**9, UTC)
    _lease.release(workspace.catalog, emit.CURSOR, lease)
    assert lineage.flush(workspace, transport=sink) == 1


def test_the_lease_of_a_dead_process_runs_out(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    History(workspace).receive()
    with monkeypatch.context() as patch:
        patch.setattr(_lease, "_SECONDS", -1)
        dead = _lease.acquire(workspace.catalog, emit.CURSOR)
    assert isinstance(dead, int)
    assert lineage.flush(workspace, transport=Recorder()) == 1
    assert _lease.renew(workspace.catalog, emit.CURSOR, dead) is None


@pytest.mark.parametrize("ahead", ["an hour", "a month", "for ever"])
def test_a_lease_that_lasts_longer_than_any_may_is_void(workspace: Workspace, ahead: str) -> None:
    """It was taken by a host whose clock is wrong, and that host may be gone."""
    end = {"an hour": time.time_ns() + 3600 * 10**9, "a month": time.time_ns() + 30 * 86400 * 10**9}
    History(workspace).receive()
    assert isinstance(_lease.acquire(workspace.catalog, emit.CURSOR), int)
    with workspace.catalog.transaction() as connection:
        wrong = tables.projection.c.name == f"{emit.CURSOR}.lease"
        connection.execute(
            tables.projection.update().where(wrong).values(seq=end.get(ahead, 2**63 - 1))
        )
    assert lineage.flush(workspace, transport=Recorder()) == 1


def test_two_processes_at_once_lose_nothing(workspace: Workspace) -> None:
    history = History(workspace)
    with history.at_once():
        for day in range(150):
            history.receive(day=day)
    sinks = [Recorder(), Recorder(), Recorder()]
    workers = [
        threading.Thread(target=lineage.flush, args=(workspace,), kwargs={"transport": sink})
        for sink in sinks
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    lineage.flush(workspace, transport=sinks[0])
    assert sorted(seq for sink in sinks for seq in sink.seqs()) == list(range(1, 151))


def test_half_an_event_of_a_killed_process_is_dropped(sqlite_workspace: Workspace) -> None:
    history = History(sqlite_workspace)
    history.receive()
    lineage.flush(sqlite_workspace)
    path = Path(sqlite_workspace.store.uri("lineage/events.jsonl"))
    with path.open("a") as file:
        file.write('{"eventType": "STA' + "x" * 100_000)
    history.receive(day=1)
    lineage.flush(sqlite_workspace)
    assert len(_lines(sqlite_workspace)) == 4


def test_disabled_means_not_sent_and_not_marked_as_sent(
    sqlite_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    History(sqlite_workspace).receive()
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
    assert lineage.drain(sqlite_workspace).remaining == 1
    monkeypatch.delenv("OPENLINEAGE_DISABLED")
    assert lineage.flush(sqlite_workspace) == 1


def test_a_misconfigured_transport_is_told_and_fails_nothing(
    sqlite_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    History(sqlite_workspace).receive()
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "no_such_transport")
    drained = lineage.drain(sqlite_workspace)
    assert drained.remaining == 1
    assert drained.problem


@pytest.fixture
def hanging() -> Iterator[str]:
    """A backend that accepts every connection and never answers."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


DRAIN_TWICE = """
import json, sys
from lazaretto import lineage
from lazaretto.storage.workspace import open_workspace
from lazaretto.values import to_json
workspace = open_workspace(catalog_url=sys.argv[1], store=sys.argv[2])
hurried = lineage.Bounds(entries=20, seconds=0.2, stalled=0.2, chunk=10)
print(json.dumps([to_json(lineage.drain(workspace, bounds=hurried)) for _ in range(2)]))
"""


@pytest.mark.parametrize("kind", ["http", "async_http"])
def test_a_backend_that_hangs_keeps_nobody_waiting_and_loses_nothing(
    workspace: Workspace, catalog_url: str, hanging: str, kind: str
) -> None:
    """In a process of its own, which must end although a call to the backend does not."""
    history = History(workspace)
    for day in range(3):
        history.receive(day=day)
    transport = json.dumps({"type": kind, "url": hanging, "timeout": 600})
    done = subprocess.run(
        [sys.executable, "-c", DRAIN_TWICE, catalog_url, workspace.store.root],
        env=os.environ | {"OPENLINEAGE__TRANSPORT": transport},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for drained in json.loads(done.stdout):  # the second is not kept by what the first left
        assert (drained["entries"], drained["remaining"], drained["held"]) == (0, 3, None)
        assert drained["problem"] == "the backend does not answer in time"
    sink = Recorder()
    assert lineage.flush(workspace, transport=sink) == 3
    assert sink.seqs() == [1, 2, 3]


def test_a_task_sends_a_part_of_a_long_backlog(workspace: Workspace) -> None:
    history, sink = History(workspace), Recorder()
    with history.at_once():
        for day in range(120):
            history.receive(day=day)
    for sent in (20, 20):
        bounds = lineage.Bounds(entries=20, seconds=600, chunk=15)
        assert lineage.flush(workspace, transport=sink, bounds=bounds) == sent
    assert lineage.drain(workspace, transport=sink).remaining == 0
    assert sink.seqs() == list(range(1, 121))


def test_a_slow_backend_is_waited_for_as_long_as_it_takes_something(workspace: Workspace) -> None:
    class Slow(Recorder):
        def emit(self, event: Any) -> None:
            waited.wait(0.05)
            super().emit(event)

    waited, history, sink = threading.Event(), History(workspace), Slow()
    with history.at_once():
        for day in range(4):
            history.receive(day=day)
    # All four take longer than it may stall, which is about each of them.
    drained = lineage.drain(workspace, transport=sink, bounds=lineage.Bounds(stalled=0.3))
    assert (drained.entries, drained.remaining, drained.problem) == (4, 0, None)


class _Backend(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, json.loads(body)))  # type: ignore[attr-defined]
        self.send_response(201)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def backend() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), _Backend)
    server.received = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("kind", ["url", "http", "async_http"])
def test_events_reach_an_http_backend_named_by_openlineages_own_configuration(
    sqlite_workspace: Workspace, backend: HTTPServer, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    url = f"http://127.0.0.1:{backend.server_port}"
    if kind == "url":
        monkeypatch.setenv("OPENLINEAGE_URL", url)
    else:
        transport = {"type": kind, "url": url}
        monkeypatch.setenv("OPENLINEAGE__TRANSPORT", json.dumps(transport))
    history = History(sqlite_workspace)
    for day in range(3):
        history.receive(day=day)
    assert lineage.flush(sqlite_workspace) == 3
    received = backend.received  # type: ignore[attr-defined]
    assert [path for path, _ in received] == ["/api/v1/lineage"] * 6
    assert all(lineage.check_event(event, strict=True) == [] for _, event in received)


def test_a_task_is_the_parent_of_what_it_wrote_and_of_nothing_else(
    sqlite_workspace: Workspace,
) -> None:
    history, sink = History(sqlite_workspace), Recorder()
    history.receive()
    history.receive(day=1)
    parent = Parent.parse("airflow/prod/dag.task/0190a0a0-0000-7000-8000-000000000001")
    lineage.flush(sqlite_workspace, transport=sink, parent=parent, seqs=[2])
    told = [event.run.facets.get("parent") for event in sink.events]
    assert told[:2] == [None, None]
    assert {facet.job.name for facet in told[2:]} == {"dag.task"}
    assert {facet.job.namespace for facet in told[2:]} == {"airflow/prod"}
