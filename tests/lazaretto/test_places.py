"""Deliveries and manifests are read from the policy's places alone, and only if they are files."""

from __future__ import annotations

import os
import socket
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yard import Yard, blobs, make_policy

from lazaretto import stages
from lazaretto.addresses import read_place
from lazaretto.batch import _places, file_digest
from lazaretto.batch._places import OF_THIS_MACHINE, Places, check_address, open_delivery
from lazaretto.errors import (
    DeliveryError,
    NotArrivedError,
    PolicyError,
    SystemFaultError,
    UsageError,
)
from lazaretto.ledger import chain as ledger
from lazaretto.ledger.events import DeliveryRefused
from lazaretto.policy import Policy
from lazaretto.sources.registry import add_source
from lazaretto.values import TrustTier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = b"root:kept-to-itself\n"


def policy(*places: str, **sources: object) -> Policy:
    return make_policy(sources={"require_signature": False, "places": list(places)} | sources)


def refused(yard: Yard, uri: object, rules: Policy | None = None, **more: Any) -> DeliveryRefused:
    """A refusal that is on record, and that kept nothing."""
    rules = rules or yard.policy
    with pytest.raises(DeliveryError) as caught:
        stages.receive(yard.workspace, str(uri), "vendor-a", policy=rules, **more)
    with yard.workspace.catalog.read() as connection:
        event = list(ledger.entries(connection))[-1].event
    assert isinstance(event, DeliveryRefused)
    assert event.code == caught.value.code
    assert yard.workspace.store.list("batches") == []
    return event


# --- links and special files


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    """A drop folder beside a folder with something that is nobody's delivery."""
    (tmp_path / "drop/vendor-a/deep").mkdir(parents=True)
    (tmp_path / "system").mkdir()
    (tmp_path / "system/shadow.csv").write_bytes(SECRET)
    return tmp_path / "drop"


def places_of(root: Path) -> Places:
    return Places((read_place(str(root)),))


def reading(uri: str, places: Places) -> bytes | str:
    """The bytes of a delivery, or the code of its refusal."""
    try:
        with open_delivery(uri, places) as file:
            return file.read()
    except DeliveryError as error:
        return error.code
    except NotArrivedError:
        return "not_arrived"


@pytest.mark.parametrize("places", ["drop", "none"])
@pytest.mark.parametrize(
    ("link", "target", "delivery"),
    [
        ("day.csv", "../../system/shadow.csv", "day.csv"),
        ("deep/day.csv", "/etc/passwd", "deep/day.csv"),
        ("folder", "../../system", "folder/shadow.csv"),
        ("deep/folder", "../../../system", "deep/folder/shadow.csv"),
        ("dangling.csv", "nowhere", "dangling.csv"),
        ("loop", "loop", "loop"),
    ],
)
def test_links_are_not_followed(
    drop: Path, places: str, link: str, target: str, delivery: str
) -> None:
    (drop / "vendor-a" / link).symlink_to(target)
    allowed = places_of(drop) if places == "drop" else OF_THIS_MACHINE
    with pytest.raises(DeliveryError, match="is a link") as caught:
        open_delivery(str(drop / "vendor-a" / delivery), allowed)
    assert caught.value.code == "link"


def test_a_place_that_is_a_link_is_the_operators_choice(drop: Path, tmp_path: Path) -> None:
    (drop / "vendor-a/day.csv").write_bytes(b"x")
    (tmp_path / "incoming").symlink_to(drop)
    link = tmp_path / "incoming"
    for place, named in ((link, link), (link, drop), (drop, drop)):
        assert reading(str(named / "vendor-a/day.csv"), places_of(place)) == b"x"
    assert reading(str(link / "vendor-a/day.csv"), places_of(drop)) == "outside_places"


def test_a_hard_link_is_a_file_like_any_other(drop: Path) -> None:
    """The page says so: only permissions keep a source from making one."""
    os.link(drop.parent / "system/shadow.csv", drop / "vendor-a/day.csv")
    with open_delivery(str(drop / "vendor-a/day.csv"), places_of(drop)) as file:
        assert file.read() == SECRET


@pytest.mark.parametrize("exchanged", ["vendor-a", "vendor-a/deep", "vendor-a/deep/day.csv"])
@pytest.mark.parametrize("opened", ["", "vendor-a", "deep"])
def test_what_is_exchanged_while_it_is_opened_changes_nothing(
    drop: Path, monkeypatch: pytest.MonkeyPatch, exchanged: str, opened: str
) -> None:
    """Whoever writes to the drop folder puts a link in place of a name, between any two steps."""
    (drop / "vendor-a/deep/day.csv").write_bytes(b"delivered")
    outside = drop.parent / "outside/deep"
    outside.mkdir(parents=True)
    (outside / "day.csv").write_bytes(SECRET)
    (outside.parent / "day.csv").write_bytes(SECRET)
    target = drop / exchanged
    open_name = os.open

    def exchange() -> None:
        if target.is_symlink():
            return
        target.rename(drop.parent / "moved")
        target.symlink_to(outside / "day.csv" if target.name == "day.csv" else outside.parent)

    def interleaved(path: str, *args: Any, **options: Any) -> int:
        descriptor = open_name(path, *args, **options)
        if (path == opened) if opened else (path == str(drop)):
            exchange()
        return descriptor

    monkeypatch.setattr(_places.os, "open", interleaved)
    read = reading(str(drop / "vendor-a/deep/day.csv"), places_of(drop))
    assert read in (b"delivered", "link", "not_arrived")
    assert target.is_symlink()


def make_special(kind: str, path: Path) -> Callable[[], None]:
    """Something at a path that is no file; what to call in the end."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        # The name of a socket is short, that of a test's folder is not.
        server = socket.socket(socket.AF_UNIX)
        with tempfile.TemporaryDirectory(prefix="lz") as folder:
            server.bind(f"{folder}/s")
            Path(folder, "s").rename(path)
        return server.close
    elif kind == "folder":
        path.mkdir()
    return lambda: None


@pytest.mark.parametrize("required", [True, False])
def test_only_files_are_read(sqlite_yard: Yard, tmp_path: Path, required: bool) -> None:
    file = sqlite_yard.deliver("monday", blobs(9, seed=5))
    rules = policy(str(tmp_path)) if required else sqlite_yard.policy
    for kind in ("pipe", "socket", "folder"):
        special = tmp_path / f"{kind}.csv"
        end = make_special(kind, special)
        for uri, manifest in ((special, None), (file, str(special))):
            event = refused(sqlite_yard, uri, rules, places_required=required, manifest=manifest)
            assert event.code == "not_a_regular_file"
        end()


def test_devices_are_no_deliveries(sqlite_yard: Yard) -> None:
    for device in filter(os.path.exists, ("/dev/zero", "/dev/null", "/dev/tty")):
        assert refused(sqlite_yard, device).code in ("not_a_regular_file", "link")
    with pytest.raises(DeliveryError):
        file_digest("/dev/zero")


def test_own_files_may_be_links_but_no_pipes(tmp_path: Path) -> None:
    """Weights and trusted rows are named by who runs the gate: `latest` is often a link."""
    (tmp_path / "weights-3").write_bytes(b"w")
    (tmp_path / "latest").symlink_to("weights-3")
    assert file_digest(tmp_path / "latest") == file_digest(tmp_path / "weights-3")
    os.mkfifo(tmp_path / "pipe")
    for uri in (tmp_path / "pipe", "http://127.0.0.1:1/w", "simplecache::s3://b/w"):
        with pytest.raises(DeliveryError):
            file_digest(uri)


NAMES = st.sampled_from(["a", "b", "link", "out", "pipe", "..", ".", "", "day.csv"])


@pytest.fixture(scope="module")
def maze(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("maze")
    (root / "drop/a/b").mkdir(parents=True)
    (root / "drop/b").mkdir()
    for file in ("drop/day.csv", "drop/a/day.csv", "drop/a/b/day.csv", "drop/b/out"):
        (root / file).write_bytes(b"delivered")
    (root / "day.csv").write_bytes(SECRET)
    (root / "a").mkdir()
    (root / "a/day.csv").write_bytes(SECRET)
    (root / "drop/link").symlink_to("a")
    (root / "drop/out").symlink_to("..")
    (root / "drop/a/out").symlink_to("../../day.csv")
    (root / "drop/a/link").symlink_to("day.csv")
    os.mkfifo(root / "drop/a/pipe")
    return root


@given(st.lists(NAMES, min_size=1, max_size=7))
def test_whatever_way_is_named_nothing_outside_is_read(maze: Path, names: list[str]) -> None:
    read = reading(f"{maze}/drop/{'/'.join(names)}", places_of(maze / "drop"))
    assert read in (
        b"delivered",
        "outside_places",
        "link",
        "not_a_regular_file",
        "not_arrived",
        "unreadable",
    )


# --- what a policy says of places


def test_each_source_has_its_own_place(sqlite_yard: Yard, tmp_path: Path) -> None:
    rules = policy(f"{tmp_path}/drop/{{source}}")
    for name in ("vendor-a", "vendor-b"):
        (tmp_path / "drop" / name).mkdir(parents=True)
    pq.write_table(blobs(9, seed=5), tmp_path / "drop/vendor-b/day.parquet")
    other = f"{tmp_path}/drop/vendor-b/day.parquet"
    event = refused(sqlite_yard, other, rules, places_required=True)
    assert event.code == "outside_places"
    batch = stages.receive(sqlite_yard.workspace, other, "vendor-b", policy=rules)
    assert batch.rows == 9


def test_a_person_s_own_shell_may_name_any_regular_file(sqlite_yard: Yard, tmp_path: Path) -> None:
    """Whoever types the command could read the file anyway; other machines need a place."""
    rules = policy(f"{tmp_path}/drop/{{source}}")
    mine = sqlite_yard.deliver("mine", blobs(9, seed=5))
    assert stages.receive(sqlite_yard.workspace, mine, "vendor-a", policy=rules).rows == 9
    with pytest.raises(DeliveryError) as caught:
        stages.receive(sqlite_yard.workspace, "s3://bucket/a.parquet", "vendor-a", policy=rules)
    assert caught.value.code == "outside_places"


def test_the_manifest_comes_from_the_same_places(sqlite_yard: Yard, tmp_path: Path) -> None:
    (tmp_path / "drop").mkdir()
    (tmp_path / "drop/day.csv").write_text("id\n1\n")
    (tmp_path / "settings.json").write_text("{}")
    rules = policy(f"{tmp_path}/drop")
    event = refused(
        sqlite_yard,
        tmp_path / "drop/day.csv",
        rules,
        manifest=str(tmp_path / "settings.json"),
        places_required=True,
    )
    assert event.code == "outside_places"


def test_nothing_is_opened_for_a_source_that_is_unknown_or_revoked(sqlite_yard: Yard) -> None:
    add_source(sqlite_yard.workspace, "gone", trust_tier=TrustTier.REVOKED)
    with inner_service() as inner:
        for source, code in (("nobody", "unknown_source"), ("gone", "revoked_source")):
            with pytest.raises(DeliveryError) as caught:
                stages.receive(
                    sqlite_yard.workspace,
                    f"{inner.url}/day.csv",
                    source,
                    manifest=f"{inner.url}/day.json",
                    policy=policy(inner.url),
                )
            assert caught.value.code == code
        assert inner.requests == []


def test_who_passes_on_an_address_needs_places(sqlite_yard: Yard) -> None:
    file = sqlite_yard.deliver("monday", blobs(9, seed=5))
    for rules in (sqlite_yard.policy, None):
        with pytest.raises(UsageError, match=r"add `places: \[/srv/drop/\{source\}\]`"):
            stages.receive(
                sqlite_yard.workspace, file, "vendor-a", policy=rules, places_required=True
            )
    with pytest.raises(UsageError, match="'drop' is relative"):
        stages.receive(sqlite_yard.workspace, file, "vendor-a", policy=policy("drop"))


def test_a_relative_place_starts_at_the_policy(
    sqlite_yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gate/policies").mkdir(parents=True)
    (tmp_path / "gate/drop").mkdir()
    pq.write_table(blobs(9, seed=5), tmp_path / "gate/drop/day.parquet")
    (tmp_path / "gate/policies/blobs.yaml").write_text(
        "version: 1\ndataset: blobs\ncolumns: {record_id: id}\n"
        "sources: {require_signature: false, places: [../drop]}\n"
    )
    monkeypatch.chdir(tmp_path)
    rules = Policy.load("gate/policies/blobs.yaml")
    batch = stages.receive(
        sqlite_yard.workspace,
        "gate/drop/day.parquet",
        "vendor-a",
        policy=rules,
        places_required=True,
    )
    assert batch.rows == 9
    assert refused_code(sqlite_yard, "gate/policies/blobs.yaml", rules) == "outside_places"


def refused_code(yard: Yard, uri: str, rules: Policy) -> str:
    with pytest.raises(DeliveryError) as caught:
        stages.receive(yard.workspace, uri, "vendor-a", policy=rules, places_required=True)
    return caught.value.code


@pytest.mark.parametrize("place", ["/", "simplecache::s3://x/y", "github://a:b@c/d", "/srv/{when}"])
def test_a_policy_with_an_odd_place_is_not_valid(tmp_path: Path, place: str) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(f"version: 1\ndataset: d\ncolumns: {{}}\nsources:\n  places: ['{place}']\n")
    with pytest.raises(PolicyError, match=r"policy.yaml:5: sources.places"):
        Policy.load(file)


# --- addresses of machines


@dataclass
class Inner:
    """A service on the loopback interface, and the requests that it saw."""

    url: str
    requests: list[str] = field(default_factory=list)
    answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)


@contextmanager
def inner_service() -> Iterator[Inner]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            inner.requests.append(f"{self.command} {self.path}")
            inner.answers.get(self.path, answer(200, b"id,secret\n1,kept-to-itself\n"))(self)

        do_HEAD = do_PUT = do_POST = do_GET  # noqa: N815

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    inner = Inner(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield inner
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(status: int, body: bytes, **heads: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in heads.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return give


@pytest.mark.parametrize("allowed", ["none", "elsewhere"])
def test_a_service_of_the_inner_network_sees_no_request(
    sqlite_yard: Yard, tmp_path: Path, allowed: str
) -> None:
    file = sqlite_yard.deliver("monday", blobs(9, seed=5))
    places = [str(tmp_path), "http://127.0.0.1:1/in", "https://data.example/in"]
    rules = sqlite_yard.policy if allowed == "none" else policy(*places)
    with inner_service() as inner:
        host = inner.url.removeprefix("http://")
        for scheme in ("http", "HTTP", "https", "webhdfs", "ftp", "no", "x::http", "zip://a::http"):
            address = f"{scheme}://{host}/latest/credentials"
            for uri, manifest in ((address, None), (file, address)):
                event = refused(sqlite_yard, uri, rules, manifest=manifest)
                assert event.code in ("outside_places", "unknown_scheme", "chained_address")
        assert inner.requests == []


def test_a_delivery_comes_from_a_named_machine_in_one_request(
    sqlite_yard: Yard, tmp_path: Path
) -> None:
    pq.write_table(blobs(9, seed=5), tmp_path / "day.parquet")
    with inner_service() as inner:
        path = "/drop/vendor-a/day%207.parquet?sig=Hush"
        inner.answers[path] = answer(200, (tmp_path / "day.parquet").read_bytes())
        batch = stages.receive(
            sqlite_yard.workspace,
            inner.url + path,
            "vendor-a",
            policy=policy(f"{inner.url}/drop/{{source}}"),
            places_required=True,
        )
        assert (batch.rows, inner.requests) == (9, [f"GET {path}"])
        with sqlite_yard.workspace.catalog.read() as connection:
            text = "\n".join(map(str, ledger.entries(connection)))
        assert "day%207.parquet" in text
        assert "Hush" not in text


def test_a_machine_that_points_elsewhere_is_not_followed(sqlite_yard: Yard) -> None:
    with inner_service() as inner:
        inner.answers["/drop/day.csv"] = answer(
            302, b"", Location=f"{inner.url}/latest/credentials"
        )
        event = refused(sqlite_yard, f"{inner.url}/drop/day.csv", policy(f"{inner.url}/drop"))
        assert event.code == "redirected"
        assert inner.requests == ["GET /drop/day.csv"]


def test_a_machine_that_is_down_is_no_fault_of_the_delivery(sqlite_yard: Yard) -> None:
    with inner_service() as inner:
        inner.answers["/drop/day.csv"] = answer(503, b"")
        for address in (f"{inner.url}/drop/day.csv", "http://127.0.0.1:1/drop/day.csv"):
            with pytest.raises(SystemFaultError, match="cannot be reached now"):
                stages.receive(
                    sqlite_yard.workspace,
                    address,
                    "vendor-a",
                    policy=policy(f"{inner.url}/drop", "http://127.0.0.1:1/drop"),
                )
        inner.answers["/drop/day.csv"] = answer(403, b"")
        event = refused(sqlite_yard, f"{inner.url}/drop/day.csv", policy(f"{inner.url}/drop"))
        assert event.code == "unreadable"
    with sqlite_yard.workspace.catalog.read() as connection:
        refusals = list(ledger.entries(connection, kinds=[DeliveryRefused.kind]))
    assert len(refusals) == 1


def test_an_answer_without_end_is_cut_at_the_limit(sqlite_yard: Yard) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 65_536)
        except OSError:
            pass

    with inner_service() as inner:
        inner.answers |= {"/drop/day.csv": endless, "/drop/day.json": endless}
        rules = make_policy(
            sources={"require_signature": False, "places": [f"{inner.url}/drop"]},
            limits={"max_bytes": 1_000_000},
        )
        assert refused(sqlite_yard, f"{inner.url}/drop/day.csv", rules).code == "too_large"
        event = refused(
            sqlite_yard,
            f"{inner.url}/drop/day.csv",
            rules,
            manifest=f"{inner.url}/drop/day.json",
        )
        assert event.code == "bad_envelope"


def test_a_bucket_is_a_place(sqlite_yard: Yard, tmp_path: Path) -> None:
    import fsspec

    pq.write_table(blobs(9, seed=5), tmp_path / "day.parquet")
    bucket = fsspec.filesystem("memory")
    bucket.pipe_file("/drop/vendor-a/day.parquet", (tmp_path / "day.parquet").read_bytes())
    bucket.pipe_file("/drop2/day.parquet", b"x")
    rules = policy("memory://drop/{source}")
    try:
        uri = "memory://drop/vendor-a/day.parquet"
        assert stages.receive(sqlite_yard.workspace, uri, "vendor-a", policy=rules).rows == 9
        for other in ("memory://drop2/day.parquet", "memory://drop/vendor-a"):
            with pytest.raises(DeliveryError):
                stages.receive(sqlite_yard.workspace, other, "vendor-a", policy=rules)
    finally:
        bucket.rm("/", recursive=True)


# --- what goes on record


WITH_CREDENTIALS = (
    "simplecache::ftp://bob:Hush1@127.0.0.1:1/day.csv?sig=Hush2",
    "ftp://bob:Hush1@127.0.0.1:1/day.csv",
    "https://Hush1@127.0.0.1:1/day.csv",
    "https://127.0.0.1:1/day.csv?X-Amz-Signature=Hush1#Hush2",
    "S3://KEY:Hush1/2@bucket/day.csv",
    "abfs://box@acc.dfs.core.windows.net/day.csv?sig=Hush1",
    "http://[bob:Hush1@",
    "no-such://bob:p@Hush1@host/day.csv",
    "bob:Hush1@host:/day.csv",
)


def test_no_credential_of_a_delivery_or_manifest_goes_on_record(sqlite_yard: Yard) -> None:
    file = sqlite_yard.deliver("monday", blobs(9, seed=5))
    rules = policy("https://127.0.0.1:1", "ftp://127.0.0.1:1", str(file.parent))
    for address in WITH_CREDENTIALS:
        for uri, manifest in ((address, None), (file, address)):
            with pytest.raises((DeliveryError, SystemFaultError)) as caught:
                stages.receive(
                    sqlite_yard.workspace, uri, "vendor-a", policy=rules, manifest=manifest
                )
            assert "Hush" not in str(caught.value)
    with sqlite_yard.workspace.catalog.read() as connection:
        assert "Hush" not in "\n".join(map(str, ledger.entries(connection)))


HOSTILE = (
    ("day\x1b[31m\u202e.csv", "vendor-a"),
    ("x" * 5_000 + ".csv", "vendor-a"),
    ("day\ud800.csv", "vendor-a"),
    ("day\0.csv", "vendor-a"),
    ("day.csv", "\x1b[31mvendor\ud800\0" * 200),
)


def test_a_hostile_name_is_refused_and_on_record_as_it_can_be_shown(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(yard.folder)
    Path(HOSTILE[0][0]).mkdir()
    for uri, source in HOSTILE:
        with pytest.raises(DeliveryError) as caught:
            stages.receive(yard.workspace, uri, source, policy=yard.policy)
        with yard.workspace.catalog.read() as connection:
            event = list(ledger.entries(connection))[-1].event
        assert isinstance(event, DeliveryRefused)
        for text in (event.uri, event.source, event.reason, str(caught.value)):
            assert text.isprintable()
            assert len(text) <= 8_000
        assert len(event.source) <= 255


def test_what_a_record_holds_reaches_a_refusal_escaped_and_shortly(sqlite_yard: Yard) -> None:
    path = sqlite_yard.folder / "day.csv"
    path.write_text("id,n\n1,2\n3,4,\x1b[2J\u202e" + "kept " * 5_000 + "\n")
    event = refused(sqlite_yard, path)
    assert event.reason.isprintable()
    assert event.reason.count("kept") < 80


def test_a_check_of_an_address_opens_nothing(tmp_path: Path) -> None:
    address = check_address(f"{tmp_path}/not-there.csv", places_of(tmp_path))
    assert address.uri == f"{tmp_path}/not-there.csv"
