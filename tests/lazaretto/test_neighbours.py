"""What a held record lies near, what was found in it and where it came from: read, and checked."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from many import examples
from yard import blobs, make_policy

from lazaretto.ledger.chain import entry
from lazaretto.policy import Columns
from lazaretto.quarantine.cases import list_cases
from lazaretto.quarantine.findings import failures_of, findings_of
from lazaretto.quarantine.held import POSITION
from lazaretto.quarantine.neighbours import NEAREST, neighbours_of
from lazaretto.quarantine.provenance import provenance_of
from lazaretto.quarantine.reads import list_reads, log_read
from lazaretto.quarantine.records import held_rows, position_before
from lazaretto.reference import Reference, _packed, near
from lazaretto.registry import trusted
from lazaretto.registry.fit_version import fit_version
from lazaretto.registry.references import find_reference
from lazaretto.storage.sidecars import read_keyed, read_numbered, write_parquet
from lazaretto.storage.store import Store
from lazaretto.values import Actor, ActorType

if TYPE_CHECKING:
    from yard import Yard

    from lazaretto.storage.workspace import Workspace


def flipped(yard: Yard, name: str = "monday") -> str:
    """A case with the records 0 to 3, whose labels are wrong."""
    judged = yard.judge(name, blobs(60, seed=5, prefix="m", flips=4))
    assert judged.held == 4
    return str(judged.case)


@pytest.fixture
def kept(sqlite_yard: Yard) -> Yard:
    """A yard whose reference keeps what its rows are."""
    fit_version(sqlite_yard.workspace, blobs(900, 1, prefix="t"), sqlite_yard.policy, promote=True)
    return sqlite_yard


@pytest.mark.parametrize("block", [1, 10_000, 2**24])
def test_the_nearest_trusted_rows_are_those_of_a_plain_search(
    monkeypatch: pytest.MonkeyPatch, fitted_reference: str, block: int
) -> None:
    reference = Reference.load(fitted_reference)
    monkeypatch.setattr(_packed, "_BLOCK", block)
    wanted = np.random.default_rng(1).normal(size=(5, 8)).astype(np.float32) * 3
    files = list(reference.files().values())
    found = near.nearest_trusted(files[0], io.BytesIO(files[1]), wanted, 3)
    compared = np.unique(np.concatenate(reference.fit_rows))
    rows = reference.sample.embedding[compared].astype(np.float64)
    distance = np.linalg.norm(rows[None] - wanted[:, None].astype(np.float64), axis=2)
    np.testing.assert_allclose(found.distance, np.sort(distance, 1)[:, :3], rtol=1e-4)
    np.testing.assert_array_equal(found.row, compared[np.argsort(distance, 1)[:, :3]])
    np.testing.assert_array_equal(found.position, reference.positions[found.row])
    assert reference.sample.label is not None
    assert found.label is not None
    assert found.label[0][0] == reference.classes[reference.sample.label[found.row[0, 0]]]


def test_a_held_record_is_shown_beside_the_records_that_it_is_like(kept: Yard) -> None:
    case = flipped(kept)
    found = neighbours_of(kept.workspace, case, [0, 3])
    assert found.reference == "blobs/2"
    assert found.unknown is None
    assert sorted(found.near) == [0, 3]
    trusted_rows = blobs(900, 1, prefix="t")
    for position, near_it in found.near.items():
        assert len(near_it) == NEAREST
        assert [one.distance for one in near_it] == sorted(one.distance for one in near_it)
        for one in near_it:
            assert one.record_id == f"t{one.row}"
            assert one.content == {"text": trusted_rows["text"][one.row].as_py()}
            # Its label was flipped: those around it have the right one.
            assert one.label == str(position % 3)


def test_a_reference_without_rows_still_tells_label_and_distance(sqlite_yard: Yard) -> None:
    case = flipped(sqlite_yard)
    (first, *_) = neighbours_of(sqlite_yard.workspace, case, [0]).near[0]
    assert (first.record_id, first.content, first.label) == (None, {}, "0")
    assert first.distance > 0


def test_vectors_that_an_encoder_made_are_read_from_their_file(kept: Yard) -> None:
    columns = {"record_id": "id", "label": "label", "payload": ["text"]}
    screen = {
        "false_quarantine_rate": 0.02,
        "detectors": {"knn_label": {"k": 5}},
        "batch": {"alpha": 1e-9, "hold_when_held_fraction": 0.0001},
    }
    policy = make_policy(
        dataset="words",
        columns=columns,
        embed={"encoder": "hashing", "columns": ["text"]},
        screen=screen,
    )

    def rows(count: int, prefix: str) -> pa.Table:
        words = [f"{'good' if n % 2 else 'bad'} film {n % 7}" for n in range(count)]
        return pa.table(
            {
                "id": [f"{prefix}{n}" for n in range(count)],
                "label": ["no" if n % 2 else "yes" for n in range(count)],
                "text": words,
            }
        )

    fit_version(kept.workspace, rows(600, "t"), policy)
    yard = replace(kept, policy=policy)
    strange = rows(60, "w")
    label = ["yes" if n < 20 else value for n, value in enumerate(strange["label"].to_pylist())]
    judged = yard.judge("words", strange.set_column(1, "label", pa.array(label)))
    assert judged.case is not None
    found = neighbours_of(kept.workspace, judged.case, [3])
    assert {one.content["text"] for one in found.near[3]} == {"good film 3"}
    assert found.near[3][0].distance == pytest.approx(0, abs=1e-3)


def test_nobody_is_told_what_cannot_be_known(kept: Yard) -> None:
    case = flipped(kept)
    large = neighbours_of(kept.workspace, case, [0], most_bytes=10)
    assert large.near == {}
    assert "page of each record" in str(large.unknown)
    stored = find_reference(kept.workspace, "blobs/2")
    assert stored.trusted is not None
    for file in (stored.trusted, stored.files[1]):
        path = Path(kept.workspace.store.uri(file.path))
        data = path.read_bytes()
        path.write_bytes(data[:-9] + b"forgotten")
        changed = neighbours_of(kept.workspace, case, [0])
        assert changed.near == {}
        assert "cannot be told" in str(changed.unknown)
        path.write_bytes(data)
    assert neighbours_of(kept.workspace, case, [0]).near
    assert neighbours_of(kept.workspace, case, [77]).near == {}


def test_a_batch_that_was_not_screened_has_no_neighbours(kept: Yard) -> None:
    without = blobs(30, 7, prefix="n").drop_columns(["label"])
    case = str(kept.judge("none", without).case)
    found = neighbours_of(kept.workspace, case, [0])
    assert (found.near, found.reference) == ({}, None)
    assert "contract is broken" in str(found.unknown)


def test_what_is_kept_of_trusted_rows_is_bounded(
    kept: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trusted, "LARGEST_CELL", 100)
    names = ["text", "picture", "boxed", "vector", "nested", "number", "missing", "text"]
    columns = Columns(record_id="id", label="label", embedding="vector", payload=names)
    rows = blobs(300, 2)
    size = np.arange(300)
    rows = rows.set_column(3, "text", pa.array(["x" * 9_000] * 300))
    rows = rows.append_column("picture", pa.array([b"x" * n for n in size]))
    boxes = [{"bytes": b"y" * n, "path": "p"} for n in size]
    rows = rows.append_column("boxed", pa.array(boxes))
    rows = rows.append_column("nested", pa.array([[["a"]]] * 300))
    rows = rows.append_column("number", pa.array(size))
    broken = rows["vector"].to_pylist()
    broken[5] = None  # cannot be used, so the reference has one row less
    rows = rows.set_column(2, "vector", pa.array(broken, pa.list_(pa.float32(), 8)))
    policy = make_policy(columns=columns.model_dump())
    stored, reference = fit_version(kept.workspace, rows, policy, version="9", promote=False)
    assert stored.trusted is not None
    assert len(reference.positions) == 299
    found = trusted.read_trusted(kept.workspace.store, stored.trusted, [298, 0, 5, 150])
    assert sorted(found) == [0, 5, 150, 298]
    assert [found[row][trusted.RECORD] for row in (0, 5, 150)] == ["r0", "r6", "r151"]
    row = found[5]
    assert set(row) == {trusted.RECORD, "text", "picture", "boxed", "number"}
    assert len(row["text"]) == trusted.LONGEST_TEXT
    assert (row["picture"], row["boxed"], row["number"]) == (b"x" * 6, b"y" * 6, 6)
    assert (found[298]["picture"], found[298]["boxed"]) == (None, None)
    monkeypatch.setattr(trusted, "MOST_BYTES", 1)
    stored, _ = fit_version(kept.workspace, rows, policy, version="10", promote=False)
    assert stored.trusted is not None
    found = trusted.read_trusted(kept.workspace.store, stored.trusted, [0, 298])
    assert found[0]["number"] == 0
    assert found[298] == {**dict.fromkeys(found[0]), trusted.RECORD: "r299"}


@settings(deadline=None, max_examples=examples(30))
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    step=st.integers(1, 3),
    data=st.data(),
)
def test_few_rows_of_a_side_car_are_those_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], step: int, data: st.DataObject
) -> None:
    total = sum(sizes)
    keys = [5 + step * n for n in range(total)]
    whole = pa.table({"value": [f"v{n}" for n in range(total)], "key": pa.array(keys, pa.int64())})
    starts = np.cumsum([0, *sizes[:-1]]).tolist()
    parts = [whole.slice(start, size) for start, size in zip(starts, sizes, strict=True)]
    store = Store.at(tmp_path_factory.mktemp("store"))
    bounds = data.draw(st.sampled_from([(), ("key",)]))
    file = write_parquet(store, "a.parquet", whole.schema, parts, bounds=bounds)
    wanted = data.draw(st.lists(st.integers(0, 5 + step * total), max_size=9))
    by_key = read_keyed(store, file, "key", wanted)
    assert by_key.to_pylist() == [row for row in whole.to_pylist() if row["key"] in wanted]
    by_number = read_numbered(store, file, wanted, columns=["value"])
    assert by_number["value"].to_pylist() == [f"v{n}" for n in sorted({*wanted}) if n < total]


def test_every_finding_is_told_in_plain_words(kept: Yard) -> None:
    rows = blobs(60, seed=5, prefix="m", flips=4)
    ids = rows["id"].to_pylist()
    ids[10] = ids[11] = "twice"
    case = str(kept.judge("twice", rows.set_column(0, "id", pa.array(ids))).case)
    held = held_rows(kept.workspace, case, [0, 10])
    positions = held[POSITION].to_pylist()
    failures = failures_of(kept.workspace, case, positions)
    assert list(failures) == [10]
    (screened,) = findings_of(held["_lazaretto_reasons"][0].as_py())
    assert screened.kind == "screen"
    assert screened.title == "Its label is not that of the trusted records around it"
    assert screened.text.startswith("labelled '1', but of its 5 nearest trusted records 100%")
    (broken,) = findings_of(held["_lazaretto_reasons"][1].as_py(), failures[10])
    assert (broken.kind, broken.column, broken.value) == ("contract", "id", "twice")
    assert broken.by.startswith("record_id.")
    note = "two_sample: the whole batch moved"
    whole = findings_of(["rule: text", note, "no colon"], notes=[note])
    assert [one.kind for one in whole] == ["contract", "batch", "batch"]
    (found,) = findings_of(["spectral@0: further out"], origin="sanitize")
    assert (found.kind, found.by, found.text) == ("sanitize", "spectral@0", "further out")


def test_where_a_record_came_from_is_told_by_the_ledger(kept: Yard) -> None:
    task = Actor(ActorType.SERVICE, "airflow:ingest.gate")
    by_airflow = replace(kept, workspace=kept.workspace.acting(task))
    case = flipped(by_airflow)
    found = provenance_of(kept.workspace, case)
    assert (found.source, found.run) == ("vendor-a", "ingest.gate")
    assert (found.signed, found.key_id) == ("it came without a signed manifest", None)
    assert found.entries[-1].words == "A delivery was authenticated, decoded once, and kept."
    assert [line.seq for line in found.entries] == sorted(
        (line.seq for line in found.entries), reverse=True
    )
    # A person may be named like a task, and is none.
    person = Actor(ActorType.HUMAN, "airflow:ingest.gate")
    other = replace(kept, workspace=kept.workspace.acting(person))
    again = str(other.judge("other", blobs(60, seed=6, prefix="o", flips=4)).case)
    assert provenance_of(kept.workspace, again).run is None


def test_the_read_log_lists_who_was_shown_what(yard: Yard) -> None:
    case = flipped(yard)
    bob = yard.workspace.acting(Actor(ActorType.HUMAN, "user:bob"))
    seq = log_read(bob, case, "page", [0, 3], {"label": "1"})
    assert log_read(bob, case, "page", [3]) is None  # such as its picture
    log_read(yard.workspace, case, "export", [1])
    export, page = list_reads(yard.workspace, case)
    assert (export.via, export.actor.id, export.records) == ("export", "user:ann", 1)
    assert (page.seq, page.actor.id, page.first, page.last) == (seq, "user:bob", 0, 3)
    assert page.filter == {"label": "1"}
    between = log_read(bob, case, "page", [1])  # whose label is another
    assert between is not None
    assert [read.seq for read in list_reads(yard.workspace, case, limit=1)] == [between]
    with yard.workspace.catalog.read() as connection:
        assert entry(connection, page.seq).actor == page.actor


def test_held_records_have_a_record_before_them(sqlite_yard: Yard) -> None:
    case = flipped(sqlite_yard)
    workspace: Workspace = sqlite_yard.workspace
    assert [position_before(workspace, case, n) for n in (0, 1, 50)] == [None, 0, 3]
    assert [one.id for one in list_cases(workspace)] == [case]
