"""An exported file is on record before it has its name, under an address without credentials."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from yard import Yard, blobs

from lazaretto import stages
from lazaretto.errors import ChangedFileError, UsageError
from lazaretto.ledger.chain import entries, head
from lazaretto.ledger.events import DatasetExported

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.alike


@pytest.fixture
def admitted(yard: Yard) -> Yard:
    yard.admit("monday", blobs(60, seed=5, prefix="m"))
    return yard


def _exports(yard: Yard) -> list[DatasetExported]:
    with yard.workspace.catalog.read() as connection:
        found = [entry.event for entry in entries(connection, kinds=[DatasetExported.kind])]
    return [event for event in found if isinstance(event, DatasetExported)]


def test_an_export_is_on_record_with_place_version_and_digest(admitted: Yard) -> None:
    folder = admitted.folder / "token=s3cr3t"
    folder.mkdir()
    (admitted.folder / "short").symlink_to(folder)
    out = admitted.folder / "short" / "train.parquet"
    made = stages.export(admitted.workspace, "blobs", out)
    [event] = _exports(admitted)
    assert event.digest == made.digest == hashlib.sha256(out.read_bytes()).hexdigest()
    assert event.rows == pq.read_metadata(out).num_rows == made.rows
    assert event.version == made.version == 1
    assert event.uri == f"{admitted.folder.resolve()}/token=***"
    assert [path.name for path in folder.iterdir()] == ["train.parquet"]


def test_what_was_not_written_is_not_on_record(admitted: Yard) -> None:
    out = admitted.folder / "train.parquet"
    out.write_bytes(b"mine")
    with pytest.raises(UsageError, match="is kept"):
        stages.export(admitted.workspace, "blobs", out)
    with pytest.raises(UsageError, match="does not exist"):
        stages.export(admitted.workspace, "blobs", admitted.folder / "no" / "train.parquet")
    assert out.read_bytes() == b"mine"
    for data in (admitted.folder / "store" / "datasets" / "blobs").glob("*.parquet"):
        data.write_bytes(data.read_bytes()[:-1] + b"X")
    with pytest.raises(ChangedFileError):
        stages.export(admitted.workspace, "blobs", admitted.folder / "b.parquet")
    assert _exports(admitted) == []
    assert not list(admitted.folder.glob("b.parquet*"))


def test_each_file_has_its_own_entry(admitted: Yard, tmp_path: Path) -> None:
    first = stages.export(admitted.workspace, "blobs", admitted.folder / "a.parquet")
    second = stages.export(admitted.workspace, "blobs", admitted.folder / "b.parquet", version=1)
    assert first.digest == second.digest
    assert [event.uri.rpartition("/")[2] for event in _exports(admitted)] == [
        "a.parquet",
        "b.parquet",
    ]
    with admitted.workspace.catalog.read() as connection:
        assert head(connection) == second.seq == first.seq + 1
