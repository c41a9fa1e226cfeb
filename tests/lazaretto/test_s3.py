"""A store and deliveries in S3 whose endpoint is down, denies access, or comes back."""

from __future__ import annotations

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from buckets import SECRET, Bucket, require_server
from yard import Yard, blobs, make_policy, make_yard

from lazaretto import stages
from lazaretto.dataset.delta import find_table
from lazaretto.dataset.recall import recall
from lazaretto.errors import (
    ChangedFileError,
    DeliveryError,
    NotArrivedError,
    SystemFaultError,
    UsageError,
)
from lazaretto.health.doctor import examine
from lazaretto.health.examined import State
from lazaretto.health.maintain import maintain
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


# Nothing else is set: what Delta's driver needs beside it is found out.
SETTINGS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_MAX_ATTEMPTS": "1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextlib.contextmanager
def endpoint(kind: str, folder: Path) -> Iterator[Bucket]:
    """An endpoint, by the environment, at which nothing answers yet."""
    found = Bucket(kind, folder / "buckets")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in (SETTINGS | {"AWS_ENDPOINT_URL": found.url}).items():
            patch.setenv(name, value)
        patch.setattr(s3fs.S3FileSystem, "retries", 1)
        s3fs.S3FileSystem.clear_instance_cache()
        yield found
        found.stop()
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    """An endpoint at which nothing answers."""
    with endpoint("moto", tmp_path) as found:
        yield found


@pytest.fixture
def served(bucket: Bucket) -> Bucket:
    """The same, with a server that answers."""
    require_server("moto")
    bucket.start()
    return bucket


@pytest.fixture(params=["moto", "rclone"])
def any_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bucket]:
    """A bucket on each server that speaks S3."""
    require_server(request.param)
    with endpoint(request.param, tmp_path) as found:
        found.start()
        yield found


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


def test_a_whole_way_with_nothing_set_but_endpoint_and_credentials(
    any_server: Bucket, fitted_reference: str, tmp_path: Path, sqlite_catalog: str
) -> None:
    """One setting for both drivers; and the doctor says whose server ignores If-None-Match."""
    workspace = open_workspace(catalog_url=sqlite_catalog, store="s3://bucket/store")
    yard = make_yard(workspace, fitted_reference, tmp_path)
    batch = yard.judge("monday", blobs(60, seed=5)).batch
    stages.admit(workspace, batch)
    stages.snapshot(workspace, "blobs")
    table = find_table("s3://bucket/store/datasets/blobs")
    assert table is not None
    assert table.version() == 1
    found = examine(lambda: workspace).lines
    states = [(line.state, line.found) for line in found if line.subject == "store"]
    assert states[-1] == (State.OK, "s3://bucket/store, of this workspace")
    warned = any(state is State.WARNING and "If-None-Match" in told for state, told in states)
    assert warned is (any_server.kind == "rclone")
    warned = any(state is State.WARNING and "200 instead of 206" in told for state, told in states)
    assert warned is (any_server.kind == "rclone")


def test_a_dataset_in_a_bucket_is_maintained(
    any_server: Bucket, fitted_reference: str, tmp_path: Path, sqlite_catalog: str
) -> None:
    """Files put together, the log's checkpoint, a recall from such a file, and what is deleted."""
    workspace = open_workspace(catalog_url=sqlite_catalog, store="s3://bucket/store")
    yard = make_yard(workspace, fitted_reference, tmp_path)
    yard = replace(yard, policy=make_policy(retention={"replaced_days": 30}))
    batches = [yard.admit(name, blobs(30, seed=5, prefix=name)).batch for name in "abc"]
    taken = stages.snapshot(workspace, "blobs", version=2)
    done = maintain(workspace, "blobs")
    assert [(one.before, one.after) for one in done.compactions] == [(3, 1)]
    bucket = any_server.files()
    log = "bucket/store/datasets/blobs/_delta_log"
    # rclone's server gives a part of a file as if it were all of it: Delta could not read it.
    version = 4 if any_server.kind == "moto" else None
    assert done.checkpoint == version
    assert bucket.exists(f"{log}/{4:020}.checkpoint.parquet") is (version is not None)
    recall(workspace, "blobs", batch=batches[1], reason="the vendor was compromised")
    rows = stages.snapshot(workspace, "blobs").table()["_lazaretto_batch"].to_pylist()
    assert sorted(rows) == sorted([batches[0], batches[2]] * 30)
    later = datetime.now(UTC) + timedelta(days=31)
    pruned = maintain(workspace, "blobs", apply=True, now=later)
    assert len(pruned.due) == 2  # the third delivery's own file, and the one with all of them
    assert not any(bucket.exists(f"bucket/store/{one.path}") for one in pruned.due)
    assert stages.open_snapshot(workspace, "blobs", "2").digest == taken.digest
    assert stages.open_snapshot(workspace, "blobs", "2").table().num_rows == 60


def test_writers_at_once_lose_nothing(
    served: Bucket, fitted_reference: str, tmp_path: Path, postgres_catalog: str
) -> None:
    workspace = open_workspace(catalog_url=postgres_catalog, store="s3://bucket/store")
    yard = make_yard(workspace, fitted_reference, tmp_path)
    batches = [
        yard.judge(f"day-{day}", blobs(30, seed=day, prefix=f"{day}-")).batch for day in range(10)
    ]

    def admit(batch: str) -> int:
        # As another process has it: nothing is shared but catalog and bucket.
        own = open_workspace(catalog_url=postgres_catalog, store="s3://bucket/store")
        return stages.admit(own, batch).version

    with ThreadPoolExecutor(10) as pool:
        versions = list(pool.map(admit, batches))
    assert sorted(versions) == list(range(1, 11))
    table = find_table("s3://bucket/store/datasets/blobs")
    assert table is not None
    assert table.version() == 10
    assert stages.snapshot(workspace, "blobs").rows == 300


def test_a_secret_of_the_store_is_in_nothing_that_is_kept_or_said(
    served: Bucket,
    fitted_reference: str,
    tmp_path: Path,
    sqlite_catalog: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level("DEBUG", logger="lazaretto")
    workspace = open_workspace(catalog_url=sqlite_catalog, store="s3://bucket/store")
    yard = make_yard(workspace, fitted_reference, tmp_path)
    batch = yard.judge("monday", blobs(60, seed=5)).batch
    stages.admit(workspace, batch)
    files = served.files()
    kept = b"".join(files.cat_file(name) for name in files.find("bucket/store"))
    served.stop()
    said = []
    for use in (
        lambda: find_table("s3://bucket/store/datasets/blobs"),
        lambda: workspace.store.list("batches"),
        lambda: stages.snapshot(workspace, "blobs"),
    ):
        with pytest.raises(SystemFaultError) as caught:
            use()
        said.append(str(caught.value))
    said += [str(line) for line in examine(lambda: workspace).lines]
    with workspace.catalog.read() as connection:
        said += [repr(entry) for entry in ledger.entries(connection)]
    said += [caplog.text, *capfd.readouterr()]
    assert SECRET not in "\n".join(said)
    assert SECRET.encode() not in kept
    assert SECRET.encode() not in (tmp_path / "catalog.db").read_bytes()


@pytest.mark.parametrize("root", ["memory://lazaretto", "ftp://host/x", "https://host/store"])
def test_a_store_that_could_hold_files_and_no_dataset_is_refused_at_once(
    root: str, sqlite_catalog: str
) -> None:
    with pytest.raises(UsageError, match="no store can be at"):
        open_workspace(catalog_url=sqlite_catalog, store=root)


def test_what_delta_says_of_a_store_is_told_to_its_last_cause(bucket: Bucket) -> None:
    with pytest.raises(SystemFaultError, match=r"(?i)connect") as caught:
        find_table("s3://bucket/store/datasets/x")
    assert "\x1b" not in str(caught.value)
    assert "\u21b3" not in str(caught.value)
