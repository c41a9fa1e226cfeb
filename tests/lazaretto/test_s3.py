"""A store and deliveries in S3 whose endpoint is down, denies access, or comes back."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from yard import Yard, blobs, make_policy, make_yard

from lazaretto import stages
from lazaretto.dataset.delta import find_table
from lazaretto.errors import (
    ChangedFileError,
    DeliveryError,
    NotArrivedError,
    SystemFaultError,
)
from lazaretto.ledger import chain as ledger
from lazaretto.ledger.events import DeliveryRefused
from lazaretto.storage.store import Store
from lazaretto.storage.workspace import open_workspace
from lazaretto.values import StoredFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lazaretto.policy import Policy

s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed")


class Bucket:
    """A bucket on a server of its own, which can be killed and started again; it forgets all."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Of the endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts the server, and makes the bucket."""
        command = [sys.executable, "-m", "moto.server", "-p", str(self.port)]
        self._server = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while self._server.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                break
        self.files().mkdir("bucket")

    def stop(self) -> None:
        """Kills it."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def files(self) -> s3fs.S3FileSystem:
        """What lies there, by a client of its own."""
        return s3fs.S3FileSystem(endpoint_url=self.url, skip_instance_cache=True)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """An endpoint, by the environment, at which nothing answers yet."""
    found = Bucket()
    settings = {
        "AWS_ENDPOINT_URL": found.url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
        "AWS_CONDITIONAL_PUT": "etag",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
    yield found
    found.stop()
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def served(bucket: Bucket) -> Bucket:
    """The same, with a server that answers."""
    pytest.importorskip("moto.server", reason="moto's server is not installed")
    bucket.start()
    return bucket


@pytest.mark.parametrize("missing", ["endpoint", "credentials"])
def test_a_store_without_endpoint_or_credentials_is_the_systems_fault(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str
) -> None:
    if missing == "credentials":
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("HOME", str(tmp_path))
    store = Store.at("s3://bucket/store")
    file = StoredFile("a/b", 1, "0" * 64, "")
    for use in (
        lambda: store.put("a/b", [b"x"]),
        lambda: store.read(file),
        lambda: store.exists("a/b"),
        lambda: store.list("a"),
        store.sizes,
        lambda: store.replace("a/b", b"x"),
        lambda: store.read_unverified("a/b", 10),
        lambda: find_table("s3://bucket/store/datasets/x"),
    ):
        with pytest.raises(SystemFaultError) as caught:
            use()
        assert type(caught.value) is SystemFaultError


def test_a_delivery_in_a_bucket_is_late_lost_or_out_of_reach(
    served: Bucket, sqlite_yard: Yard
) -> None:
    rules = make_policy(
        sources={"require_signature": False, "places": ["s3://bucket/drop", "s3://nowhere"]}
    )
    drop = "s3://bucket/drop/day.parquet"

    def receive(uri: str) -> None:
        stages.receive(sqlite_yard.workspace, uri, "vendor-a", policy=rules, places_required=True)

    for uri in (drop, "s3://nowhere/day.parquet"):
        with pytest.raises(NotArrivedError, match="is not there"):
            receive(uri)
    served.files().put(str(sqlite_yard.deliver("day", blobs(9, seed=5))), drop)
    served.stop()
    with pytest.raises(SystemFaultError, match="cannot be reached now"):
        receive(drop)
    with sqlite_yard.workspace.catalog.read() as connection:
        assert not list(ledger.entries(connection, kinds=[DeliveryRefused.kind]))
    served.start()
    served.files().put(str(sqlite_yard.folder / "day.parquet"), drop)
    receive(drop)


def test_the_manifest_beside_a_delivery_in_a_bucket_is_found(
    served: Bucket, sqlite_yard: Yard
) -> None:
    """By its name; while it is not there the delivery is late for who waits, else unsigned."""
    from lazaretto.addresses import MANIFEST_SUFFIX
    from lazaretto.stages.arrival import has_arrived

    rules = make_policy(sources={"require_signature": True, "places": ["s3://bucket/drop"]})
    drop = "s3://bucket/drop/day.parquet"

    def receive() -> str:
        with pytest.raises(DeliveryError) as caught:
            stages.receive(
                sqlite_yard.workspace,
                drop,
                "vendor-a",
                beside=True,
                policy=rules,
                places_required=True,
            )
        return caught.value.code

    assert not has_arrived(drop, "vendor-a", rules, workspace=sqlite_yard.workspace)
    served.files().put(str(sqlite_yard.deliver("day", blobs(9, seed=5))), drop)
    assert not has_arrived(drop, "vendor-a", rules, workspace=sqlite_yard.workspace)
    assert receive() == "unsigned"
    served.files().pipe_file(drop + MANIFEST_SUFFIX, b"{}")
    assert has_arrived(drop, "vendor-a", rules, workspace=sqlite_yard.workspace)
    assert receive() == "bad_envelope"  # it was read
    served.stop()
    with pytest.raises(SystemFaultError):
        has_arrived(drop, "vendor-a", rules, workspace=sqlite_yard.workspace)


def test_folders_patterns_and_lists_of_a_bucket_are_deliveries(
    served: Bucket, sqlite_yard: Yard, tmp_path: Path
) -> None:
    """What comes later is seen, whatever was listed before; a signed folder is checked by file."""
    from lazaretto.sources.folder import sign_folder
    from lazaretto.sources.manifest import keygen
    from lazaretto.sources.registry import add_key
    from lazaretto.stages.arrival import has_arrived

    workspace, files = sqlite_yard.workspace, served.files()
    tier = {"REVIEWED": {"require_signature": True}}  # of `vendor-a`
    places = {"places": ["s3://bucket/drop"], "require_signature": False}
    rules = make_policy(sources=places)
    signed = make_policy(sources=places | {"tiers": tier})

    def receive(uri: str | list[str], policy: Policy = rules) -> int:
        options = {"policy": policy, "places_required": True, "beside": True}
        return stages.receive(workspace, uri, "vendor-a", **options).rows  # type: ignore[arg-type]

    day = "s3://bucket/drop/day"
    assert not has_arrived(f"{day}/*.csv", "vendor-a", rules, workspace=workspace)
    for number in (1, 2, 3):
        files.pipe_file(f"{day}/{number}.csv", f"id,label\n{number},x\n".encode())
    files.pipe_file(f"{day}/_SUCCESS", b"")
    assert has_arrived(f"{day}/*.csv", "vendor-a", rules, workspace=workspace)
    assert receive(f"{day}/[12].csv") == 2
    assert receive([f"{day}/2.csv", f"{day}/3.csv"]) == 2
    private, public = keygen()
    add_key(workspace, "vendor-a", public)
    own = tmp_path / "day"
    files.get(f"{day}/", f"{own}/", recursive=True)
    envelope = sign_folder(own, source="vendor-a", private_key=private)
    assert not has_arrived(f"{day}/", "vendor-a", signed, workspace=workspace)
    files.pipe_file(f"{day}.manifest.json", envelope)
    assert has_arrived(f"{day}/", "vendor-a", signed, workspace=workspace)
    files.pipe_file(f"{day}/2.csv", b"id,label\n2,y\n")
    with pytest.raises(DeliveryError, match=r"'2\.csv' has other bytes"):
        receive(day, signed)
    files.pipe_file(f"{day}/2.csv", b"id,label\n2,x\n")
    assert receive(day, signed) == 3
    served.stop()
    with pytest.raises(SystemFaultError):
        receive(day, signed)


def test_a_server_that_is_killed_is_nobodys_fault_and_the_same_call_works_when_it_is_back(
    served: Bucket, fitted_reference: str, tmp_path: Path, catalog_url: str
) -> None:
    workspace = open_workspace(catalog_url=catalog_url, store="s3://bucket/store")
    yard = make_yard(workspace, fitted_reference, tmp_path)
    files = served.files()
    batch, file = "", yard.deliver("monday", blobs(60, seed=5))

    def do(name: str) -> object:
        if name == "receive":
            return stages.receive(workspace, file, "vendor-a", policy=yard.policy)
        if name == "admit":
            return stages.admit(workspace, batch)
        return getattr(stages, name)(workspace, batch, yard.policy)

    def restarted() -> None:
        served.start()
        files.put(f"{tmp_path}/kept/", "s3://bucket/store", recursive=True)

    for name in ("receive", "validate", "embed", "screen", "gate", "admit"):
        kept = tmp_path / "kept"
        files.invalidate_cache()
        files.get("s3://bucket/store/", f"{kept}/", recursive=True)
        served.stop()
        with pytest.raises(SystemFaultError) as caught:
            do(name)
        assert not isinstance(caught.value, ChangedFileError | DeliveryError)
        restarted()
        done = do(name)
        batch = batch or done.id  # type: ignore[attr-defined]
    assert stages.snapshot(workspace, "blobs").version == 1
