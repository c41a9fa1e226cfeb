"""Admission: what enters the dataset, once, in which columns; snapshots, models, rival writers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from yard import Yard, blobs

from lazaretto import stages
from lazaretto.dataset.files import dataset_uri
from lazaretto.dataset.recall import recall
from lazaretto.dataset.schema import conform, storable
from lazaretto.errors import (
    AdmissionRefusedError,
    ChangedDatasetError,
    ChangedFileError,
    NotFoundError,
    UsageError,
)
from lazaretto.ledger import chain as ledger
from lazaretto.ledger.events import BatchAdmitted, ModelRegistered
from lazaretto.ledger.verify import verify
from lazaretto.values import Member, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.alike


def test_only_cleared_records_enter_and_say_where_they_came_from(yard: Yard) -> None:
    rows = blobs(90, seed=5, flips=6)
    judged = yard.judge("mixed", rows)
    admission = stages.admit(yard.workspace, judged.batch)
    found = yard.dataset()
    assert admission.rows == found.num_rows == judged.cleared
    assert not {f"r{i}" for i in range(6)} & set(yard.ids())
    assert set(found["_lazaretto_batch"].to_pylist()) == {judged.batch}
    assert set(found["_lazaretto_source"].to_pylist()) == {"vendor-a"}
    assert set(found["sample_weight"].to_pylist()) == {1.0}
    label_of = dict(zip(rows["id"].to_pylist(), rows["label"].to_pylist(), strict=True))
    for record in found.select(["id", "_lazaretto_record", "label"]).to_pylist():
        assert record["id"] == record["_lazaretto_record"]
        assert record["label"] == label_of[record["id"]]


def test_the_commit_says_who_and_why(yard: Yard) -> None:
    admission = yard.admit("clean", blobs(60, seed=5))
    commit = next(
        c for c in DeltaTable(admission.uri).history() if c["version"] == admission.version
    )
    assert commit["lazaretto_batch"] == admission.batch
    assert commit["lazaretto_source"] == "vendor-a"
    assert commit["lazaretto_policy"] == yard.policy.sha256


def test_admitting_again_gives_the_same_version_and_no_second_row(yard: Yard) -> None:
    first = yard.admit("monday", blobs(60, seed=5))
    yard.admit("tuesday", blobs(60, seed=6, prefix="t"))
    assert stages.admit(yard.workspace, first.batch) == first
    assert len(yard.ids()) == len(set(yard.ids())) == 120
    with yard.workspace.catalog.read() as connection:
        assert len(list(ledger.entries(connection, kinds=["batch_admitted"]))) == 2


def test_a_held_batch_admits_nothing(yard: Yard) -> None:
    judged = yard.judge("broken", blobs(30, seed=5).drop_columns("label"))
    admission = stages.admit(yard.workspace, judged.batch)
    assert (admission.rows, admission.version, admission.seqs) == (0, None, [])
    with pytest.raises(NotFoundError):
        stages.snapshot(yard.workspace, "blobs")


def test_other_columns_than_the_dataset_has_are_named(yard: Yard) -> None:
    extra = pa.array([1.0] * 60)
    yard.admit("monday", blobs(60, seed=5).append_column("price", extra))
    judged = yard.judge("tuesday", blobs(60, seed=6, prefix="t").append_column("cost", extra))
    assert judged.verdict is Verdict.HOLD_BATCH
    assert all(any(name in note for note in judged.notes) for name in ("'price'", "'cost'"))
    assert stages.admit(yard.workspace, judged.batch).rows == 0
    assert len(yard.ids()) == 60


def test_narrower_numbers_fit_and_text_for_numbers_does_not(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    yard.admit("monday", blobs(60, seed=5))
    rows = blobs(60, seed=6, prefix="t")
    narrow = rows.set_column(1, "label", rows["label"].cast(pa.int8()))
    assert yard.admit("tuesday", narrow).rows == 60
    texts = rows.set_column(1, "label", rows["label"].cast(pa.string()))
    judged = yard.judge("wednesday", texts)
    assert any("'label' is string, the dataset has int64" in note for note in judged.notes)
    assert stages.admit(yard.workspace, judged.batch).rows == 0


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        (pa.array([200], pa.uint8()), pa.int16()),
        (pa.array([2**63 - 1], pa.uint64()), pa.int64()),
        (pa.array([1.5], pa.float16()), pa.float32()),
        (pa.array([1000], pa.timestamp("ns", "UTC")), pa.timestamp("us", "UTC")),
        (pa.array([[1.0]], pa.list_(pa.float16(), 1)), pa.list_(pa.float32())),
        (pa.array([b"abc"], pa.binary(3)), pa.binary()),
        (pa.array([{"a": 3}], pa.struct([("a", pa.uint16())])), pa.struct([("a", pa.int32())])),
    ],
)
def test_every_value_has_a_place_in_the_dataset(values: pa.Array, kept: pa.DataType) -> None:
    chunk = pa.RecordBatch.from_arrays([values], names=["x"])
    wanted = storable(chunk.schema, "d")
    assert wanted.field("x").type == kept
    found = conform(chunk, wanted, "d").column("x")
    assert found.cast(values.type).equals(values)


def test_a_number_too_large_and_a_column_of_nulls_are_refused_by_name() -> None:
    chunk = pa.RecordBatch.from_arrays([pa.array([2**63], pa.uint64())], names=["count"])
    with pytest.raises(AdmissionRefusedError, match="'count' holds 9223372036854775808"):
        conform(chunk, storable(chunk.schema, "d"), "d")
    with pytest.raises(AdmissionRefusedError, match="'empty' holds nothing but nulls"):
        storable(pa.schema([("empty", pa.null())]), "d")


def test_a_snapshot_counts_what_is_really_there(yard: Yard) -> None:
    one = yard.admit("monday", blobs(60, seed=5))
    two = yard.admit("tuesday", blobs(30, seed=6, prefix="t"), source="vendor-b")
    first = stages.snapshot(yard.workspace, "blobs", version=one.version)
    assert first.members == [Member(one.batch, 60)]
    recall(yard.workspace, "blobs", ids=[f"{one.batch}#r0"], reason="looks wrong")
    newest = stages.snapshot(yard.workspace, "blobs")
    assert newest.members == [Member(one.batch, 59), Member(two.batch, 30)]
    assert newest.table(["id"]).num_rows == newest.rows == 89
    assert stages.snapshot(yard.workspace, "blobs") == newest
    assert stages.snapshot(yard.workspace, "blobs", version=one.version) == first
    assert first.digest != newest.digest
    with pytest.raises(NotFoundError, match="no version 99"):
        stages.snapshot(yard.workspace, "blobs", version=99)
    with pytest.raises(NotFoundError, match="no dataset 'other'"):
        stages.snapshot(yard.workspace, "other")


def test_rows_written_around_the_gate_are_refused(yard: Yard) -> None:
    admission = yard.admit("monday", blobs(60, seed=5))
    rows = yard.dataset().slice(0, 2)
    forged = rows.set_column(
        rows.schema.get_field_index("_lazaretto_batch"), "_lazaretto_batch", pa.array(["x", "x"])
    )
    write_deltalake(admission.uri, forged, mode="append")
    with pytest.raises(ChangedDatasetError, match="2 rows were written around the gate"):
        stages.snapshot(yard.workspace, "blobs")


def test_a_model_needs_a_snapshot_and_keeps_it(yard: Yard) -> None:
    yard.admit("monday", blobs(60, seed=5))
    with pytest.raises(NotFoundError, match="take the snapshot before training"):
        stages.register_model(yard.workspace, "net", "1", "blobs", 1)
    taken = stages.snapshot(yard.workspace, "blobs")
    weights = yard.folder / "net.bin"
    weights.write_bytes(b"weights")
    model = stages.register_model(
        yard.workspace, "net", "1", "blobs", taken.version, artifact=weights, params={"lr": "0.1"}
    )
    again = stages.register_model(yard.workspace, "net", "1", "blobs", taken.version)
    assert model == again
    with yard.workspace.catalog.read() as connection:
        (entry,) = ledger.entries(connection, kinds=["model_registered"])
    assert isinstance(entry.event, ModelRegistered)
    assert entry.event.rows == 60
    assert entry.event.artifact_digest is not None
    weights.write_bytes(b"other weights")
    with pytest.raises(UsageError, match="net@1 of local is on record with other weights"):
        stages.register_model(yard.workspace, "net", "1", "blobs", taken.version, artifact=weights)


_ADMIT = """
import sys
from lazaretto import stages
from lazaretto.storage.workspace import open_workspace
workspace = open_workspace(catalog_url=sys.argv[1], store=sys.argv[2])
for batch in sys.argv[3:]:
    stages.admit(workspace, batch)
"""


@pytest.mark.parametrize("same", [False, True], ids=["different batches", "the same batches"])
def test_processes_admit_to_one_dataset_at_once(
    yard: Yard, catalog_url: str, at_once: Callable[..., None], same: bool
) -> None:
    """From the very first commit on, which creates the table."""
    batches = [
        yard.judge(f"d{day}", blobs(30, seed=day, prefix=f"d{day}-")).batch for day in range(4)
    ]
    place = [catalog_url, yard.workspace.store.root]
    shares = [batches, batches] if same else [batches[:2], batches[2:]]
    at_once(_ADMIT, *([*place, *share] for share in shares))
    assert len(yard.ids()) == len(set(yard.ids())) == 120
    with yard.workspace.catalog.read() as connection:
        events = [e.event for e in ledger.entries(connection, kinds=["batch_admitted"])]
    assert sorted(e.batch for e in events if isinstance(e, BatchAdmitted)) == sorted(batches)
    assert verify(yard.workspace).ok
    for event in events:
        assert isinstance(event, BatchAdmitted)
        at_version = yard.dataset(event.version)["_lazaretto_batch"].to_pylist()
        before = yard.dataset(event.version - 1)["_lazaretto_batch"].to_pylist()
        assert at_version.count(event.batch) == 30
        assert event.batch not in before


def test_a_dataset_in_another_store_is_not_written(yard: Yard) -> None:
    from lazaretto.storage.workspace import Workspace

    yard.admit("monday", blobs(60, seed=5))
    batch = yard.judge("tuesday", blobs(30, seed=6, prefix="t")).batch
    elsewhere = Workspace(yard.workspace.catalog, type(yard.workspace.store).at(yard.folder / "b"))
    with pytest.raises(ChangedFileError, match="it is gone"):
        stages.admit(elsewhere, batch)
    assert not DeltaTable.is_deltatable(dataset_uri(elsewhere, "blobs"))
