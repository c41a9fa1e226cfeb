"""A delivery that is not there yet is no refusal; and whose fault it is that one cannot be read."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from yard import Yard, blobs, make_policy

from lazaretto import stages
from lazaretto.batch import _http
from lazaretto.errors import DeliveryError, NotArrivedError, SystemFaultError
from lazaretto.ledger import chain as ledger
from lazaretto.ledger.events import DeliveryRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lazaretto.policy import Policy
    from lazaretto.values import BatchRef

NOBODY = 65_534


def policy(*places: str) -> Policy:
    return make_policy(sources={"require_signature": False, "places": list(places)})


def refusals(yard: Yard) -> int:
    with yard.workspace.catalog.read() as connection:
        return len(list(ledger.entries(connection, kinds=[DeliveryRefused.kind])))


def receive(yard: Yard, uri: object, *places: object, manifest: str | None = None) -> BatchRef:
    rules = policy(*map(str, places))
    return stages.receive(yard.workspace, str(uri), "vendor-a", policy=rules, manifest=manifest)


# --- files of this machine


def test_a_late_delivery_is_waited_for_and_goes_on_no_record(yard: Yard) -> None:
    """The same call works once it has arrived; nor need its folder or its manifest be there."""
    drop = yard.folder / "drop"
    file, manifest = drop / "vendor-a/day.parquet", drop / "vendor-a/day.json"
    with pytest.raises(NotArrivedError, match=r"drop/vendor-a/day\.parquet is not there \(yet\)"):
        receive(yard, file, drop)
    file.parent.mkdir(parents=True)
    with pytest.raises(NotArrivedError, match=r"day\.parquet is not there"):
        receive(yard, file, drop)
    pq.write_table(blobs(9, seed=5), file)
    with pytest.raises(NotArrivedError, match=r"day\.json is not there"):
        receive(yard, file, drop, manifest=str(manifest))
    assert refusals(yard) == 0
    assert receive(yard, file, drop).rows == 9


@contextmanager
def as_nobody() -> Iterator[None]:
    """As a user whom permissions bind; who runs the tests may be root, whom they do not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_drop() -> Iterator[Path]:
    """A drop folder that everybody can get at, with a delivery."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "drop/vendor-a").mkdir(parents=True)
        (Path(folder) / "drop/vendor-a/day.csv").write_text("id\n1\n")
        yield Path(folder) / "drop"


@pytest.mark.parametrize(
    ("locked", "fault"),
    [
        ("vendor-a/day.csv", "'day.csv' in it do not let this process"),
        ("vendor-a", "'vendor-a' in it do not let this process"),
        ("", "may not enter the folder"),
    ],
)
def test_permissions_are_whose_folder_it_is(open_drop: Path, locked: str, fault: str) -> None:
    """The place is the operator's; what lies in it is the vendor's."""
    from lazaretto.addresses import read_place
    from lazaretto.batch._places import Places, open_delivery

    places = Places((read_place(str(open_drop)),))
    (open_drop / locked).chmod(0)
    expected = DeliveryError if locked else SystemFaultError
    with as_nobody(), pytest.raises(expected, match=fault):
        open_delivery(str(open_drop / "vendor-a/day.csv"), places)
    (open_drop / locked).chmod(0o755)
    with as_nobody(), open_delivery(str(open_drop / "vendor-a/day.csv"), places) as file:
        assert file.read() == b"id\n1\n"


def test_a_disk_that_fails_while_a_delivery_is_read_is_no_fault_of_it(
    sqlite_yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux answers a read of this file with an input/output error, as of a broken disk."""
    from lazaretto.batch import _delivery

    file = sqlite_yard.folder / "day.csv"
    file.touch()
    with Path("/proc/self/mem").open("rb") as broken:
        monkeypatch.setattr(_delivery, "open_delivery", lambda *_: broken)
        with pytest.raises(SystemFaultError, match=r"day\.csv cannot be reached now.*Input/output"):
            receive(sqlite_yard, file, sqlite_yard.folder)
    assert refusals(sqlite_yard) == 0


# --- files of a server


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def saying(status: int) -> Callable[[BaseHTTPRequestHandler], None]:
    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return give


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, NotArrivedError),
        (408, SystemFaultError),
        (429, SystemFaultError),
        (500, SystemFaultError),
        (503, SystemFaultError),
        (403, DeliveryError),
        (410, DeliveryError),
    ],
)
def test_what_a_server_answers_says_whose_fault_it_is(
    sqlite_yard: Yard, status: int, kind: type[Exception]
) -> None:
    with serving(saying(status)) as url, pytest.raises(kind) as caught:
        receive(sqlite_yard, f"{url}/day.csv", url)
    assert type(caught.value) is kind
    assert refusals(sqlite_yard) == (kind is DeliveryError)


def test_a_connection_that_is_cut_off_is_not_a_damaged_delivery(sqlite_yard: Yard) -> None:
    """Half of a text file parses: it must not be taken for the whole."""
    whole = b"id,label\n" + b"1,2\n" * 1000

    def half(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(whole)))
        handler.end_headers()
        handler.wfile.write(whole[:2000])

    with (
        serving(half) as url,
        pytest.raises(SystemFaultError, match="cannot be reached now: ConnectionError"),
    ):
        receive(sqlite_yard, f"{url}/day.csv", url)
    assert refusals(sqlite_yard) == 0


@pytest.mark.parametrize("after", ["nothing", "the head", "some bytes"])
def test_a_server_that_hangs_is_left(
    sqlite_yard: Yard, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    monkeypatch.setattr(_http, "_SECONDS", 0.2)

    def hang(handler: BaseHTTPRequestHandler) -> None:
        if after != "nothing":
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
        if after == "some bytes":
            handler.wfile.write(b"id\n1\n")
        handler.rfile.read(1)  # the client's: it sends no more, and closes in the end

    with (
        serving(hang) as url,
        pytest.raises(SystemFaultError, match="cannot be reached now: TimeoutError"),
    ):
        receive(sqlite_yard, f"{url}/day.csv", url)
    assert refusals(sqlite_yard) == 0
