"""Errors of drivers, which nobody imports, are told apart; a store that fails is nobody's fault."""

from __future__ import annotations

import copy
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import pyarrow as pa
import pytest
from fsspec.implementations.local import LocalFileSystem
from yard import Yard, blobs

from lazaretto import stages
from lazaretto.addresses import read_address
from lazaretto.batch import _remote
from lazaretto.errors import (
    ChangedFileError,
    DeliveryError,
    NotArrivedError,
    NotFoundError,
    SystemFaultError,
    UsageError,
)
from lazaretto.faults import Kind, as_system_fault, is_of_machine, kind_of
from lazaretto.ledger import chain as ledger
from lazaretto.storage.sidecars import read_chunks, read_table, write_table
from lazaretto.storage.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.values import StoredFile

pytestmark = pytest.mark.alike


class ClientError(Exception):
    """Of the same form as botocore's."""

    def __init__(self, code: str) -> None:
        super().__init__(f"An error occurred ({code}) when calling the GetObject operation")
        self.response = {"Error": {"Code": code}}


class StatusError(Exception):
    """Of the same form as aiohttp's ClientResponseError, and as gcsfs's HttpError."""

    def __init__(self, name: str, status: int) -> None:
        super().__init__(f"{status}, message='…'")
        setattr(self, name, status)


class NoCredentialsError(Exception):
    """Of the same form as botocore's: no class in common with any other."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FileNotFoundError("s3://bucket/x"), Kind.MISSING),
        (ClientError("NoSuchKey"), Kind.MISSING),
        (ClientError("NoSuchBucket"), Kind.MISSING),
        (StatusError("status", 404), Kind.MISSING),
        (PermissionError(errno.EACCES, "no"), Kind.DENIED),
        (ClientError("AccessDenied"), Kind.DENIED),
        (StatusError("status_code", 403), Kind.DENIED),
        (StatusError("code", 401), Kind.DENIED),
        (ClientError("SlowDown"), Kind.OTHER),
        (StatusError("status", 503), Kind.OTHER),
        (NoCredentialsError("Unable to locate credentials"), Kind.OTHER),
        (OSError(errno.EIO, "Input/output error"), Kind.OTHER),
        (TimeoutError(), Kind.OTHER),
    ],
    ids=repr,
)
def test_errors_are_told_apart_by_what_drivers_have_in_common(
    monkeypatch: pytest.MonkeyPatch, error: Exception, kind: Kind
) -> None:
    """A driver that finds nothing was asked too early; any other fault is no delivery's."""
    assert kind_of(error) is kind

    class Driver(LocalFileSystem):
        def isdir(self, path: str) -> bool:
            raise error

    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda _: (Driver(), "x"))
    with pytest.raises(SystemFaultError) as caught:
        _remote.open_remote(read_address("s3://bucket/day.csv?sig=Hush"))
    assert isinstance(caught.value, NotArrivedError) is (kind is Kind.MISSING)
    assert "Hush" not in str(caught.value)


def test_a_driver_that_is_not_installed_is_the_callers_to_install(tmp_path: Path) -> None:
    for name in ("gs://bucket/x", "hdfs://host/x"):
        with pytest.raises((UsageError, SystemFaultError, DeliveryError)) as caught:
            _remote.open_remote(read_address(name))
        assert "bug" not in str(caught.value)
    with pytest.raises(UsageError, match="no Python package that reads such addresses"):
        Store.at("no-such-scheme://bucket").exists("x")


def test_mistakes_in_code_are_not_called_a_fault_of_the_network() -> None:
    with pytest.raises(TypeError), as_system_fault("cannot read"):
        raise TypeError("a mistake")


def test_a_broken_disk_is_told_from_what_a_damaged_file_can_ask_for() -> None:
    with (
        pytest.raises(OSError, match="Input/output") as caught,
        pa.OSFile("/proc/self/mem") as file,
    ):
        file.read(10)
    assert is_of_machine(caught.value)
    for number in (errno.EINVAL, errno.EFBIG, errno.ENOMEM, errno.EOVERFLOW):
        assert not is_of_machine(OSError(number, os.strerror(number)))
    assert not is_of_machine(OSError("Unexpected end of stream"))


# --- a store whose driver fails at any of its calls, in any of the ways in which drivers fail


class FlakyFile:
    """An open file of a flaky driver."""

    def __init__(self, file: Any, driver: type[Flaky]) -> None:
        self._file = file
        self._driver = driver

    def __getattr__(self, name: str) -> Any:
        if name in ("read", "write", "seek", "close"):
            self._driver.step()
        return getattr(self._file, name)

    def __enter__(self) -> FlakyFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Flaky(LocalFileSystem):
    """Real files on this disk; each call of the driver is a step, and one of them fails."""

    protocol = "flaky"
    cachable = False
    steps = 0
    fails_at: int | None = None
    error: Exception = OSError(errno.EIO, "Input/output error")

    @classmethod
    def step(cls) -> None:
        cls.steps += 1
        if cls.fails_at is not None and cls.steps >= cls.fails_at:
            raise copy.copy(cls.error)

    def open(self, path: str, mode: str = "rb", **more: Any) -> Any:
        self.step()
        return FlakyFile(super().open(path, mode, **more), type(self))

    def exists(self, path: str, **more: Any) -> bool:
        self.step()
        return bool(super().exists(path, **more))

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        self.step()
        super().makedirs(path, exist_ok=exist_ok)

    def mv(self, path1: str, path2: str, **more: Any) -> None:
        self.step()
        super().mv(path1, path2, **more)

    def find(self, path: str, *arguments: Any, **more: Any) -> Any:
        self.step()
        return super().find(path, *arguments, **more)


@pytest.fixture
def flaky(tmp_path: Path) -> Iterator[Store]:
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    Flaky.steps, Flaky.fails_at = 0, None
    yield Store.at(f"flaky://{tmp_path}/store")
    Flaky.fails_at = None


LARGE = os.urandom(2**22 + 1000)


def use(store: Store) -> None:
    """Everything that is done with a store; the large file is read block by block."""
    table = pa.table({"x": list(range(1000))})
    stored = write_table(store, "batches/a/x-{sha256}.parquet", table)
    large: StoredFile = store.put(
        "batches/a/y-{sha256}.bin", [LARGE[:1_000_000], LARGE[1_000_000:]]
    )
    assert read_table(store, stored).equals(table)
    assert pa.Table.from_batches(read_chunks(store, stored)).num_rows == 1000
    assert store.read(large) == LARGE
    store.check(large)
    store.replace("lineage/events.jsonl", b"{}\n")
    assert store.read_unverified("lineage/events.jsonl", 100) == b"{}\n"
    assert store.exists(stored.path)
    assert stored.path in store.list("batches")
    assert store.sizes()[large.path] == len(LARGE)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "Input/output error"),
        ClientError("SlowDown"),
        NoCredentialsError("Unable to locate credentials"),
        ConnectionResetError("the endpoint went away"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_call_of_the_driver_fails_it_is_the_stores_fault_and_can_be_done_again(
    flaky: Store, error: Exception
) -> None:
    Flaky.error = error
    use(flaky)
    assert Flaky.steps > 30
    for step in range(1, Flaky.steps + 1):
        Flaky.steps, Flaky.fails_at = 0, step
        with pytest.raises(SystemFaultError, match=r"cannot (read|write|list)") as caught:
            use(flaky)
        assert not isinstance(caught.value, ChangedFileError)
        assert type(error).__name__ in str(caught.value)
    Flaky.fails_at = None
    use(flaky)


def test_what_makes_a_file_is_not_taken_for_the_store(tmp_path: Path) -> None:
    """A rule that somebody wrote fails while its results are written."""

    def chunks() -> Iterator[bytes]:
        yield b"some"
        raise OSError(errno.EIO, "of a file of somebody's own")

    store = Store.at(tmp_path / "store")
    with pytest.raises(OSError, match="somebody's own"):
        store.put("a/b", chunks())
    assert store.list("a") == []


def test_a_file_that_is_gone_is_told_from_a_store_that_fails(tmp_path: Path) -> None:
    store = Store.at(tmp_path / "store")
    stored = store.put("a/b", [b"bytes"])
    (tmp_path / "store/a/b").unlink()
    with pytest.raises(ChangedFileError, match="it is gone"):
        store.read(stored)
    with pytest.raises(NotFoundError):
        store.read_unverified("a/b", 10)
    (tmp_path / "store/a/b").symlink_to("/proc/self/mem")
    with pytest.raises(SystemFaultError, match="cannot read 'a/b' in the store") as caught:
        store.read(stored)
    assert not isinstance(caught.value, ChangedFileError)


def test_a_stage_that_cannot_read_the_store_blames_no_delivery(yard: Yard) -> None:
    """Nothing goes on record, and the same stage works once the disk does."""
    batch = yard.receive("monday", blobs(60, seed=5)).id
    root = Path(yard.workspace.store.root)
    file = next(root.glob("batches/**/data-*.arrow"))
    kept = file.read_bytes()
    file.unlink()
    file.symlink_to("/proc/self/mem")
    with yard.workspace.catalog.read() as connection:
        before = len(list(ledger.entries(connection)))
    with pytest.raises(SystemFaultError, match=f"cannot read 'batches/.*{file.name}'"):
        stages.validate(yard.workspace, batch, yard.policy)
    with yard.workspace.catalog.read() as connection:
        assert len(list(ledger.entries(connection))) == before
    file.unlink()
    file.write_bytes(kept)
    stages.validate(yard.workspace, batch, yard.policy)


@pytest.mark.parametrize("broken", ["the newest commit", "the log"])
def test_a_table_that_cannot_be_read_is_not_called_changed(yard: Yard, broken: str) -> None:
    """Delta has one error for a log that makes no sense and for a disk that fails."""
    yard.admit("monday", blobs(60, seed=5))
    log = Path(yard.workspace.store.root) / "datasets/blobs/_delta_log"
    file = max(log.glob("*.json"))
    kept = file.read_bytes()
    file.unlink()
    file.symlink_to("/proc/self/mem")
    if broken == "the log":
        for other in set(log.glob("*.json")) - {file}:
            other.unlink()
    with pytest.raises(SystemFaultError, match="cannot be read") as caught:
        stages.snapshot(yard.workspace, "blobs")
    assert type(caught.value) is SystemFaultError
    if broken == "the newest commit":
        file.unlink()
        file.write_bytes(kept)
        assert stages.snapshot(yard.workspace, "blobs").version == 1
