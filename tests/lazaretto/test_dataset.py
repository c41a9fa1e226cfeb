"""A dataset is what the ledger says: changed bytes, logs, tables and rows are refused by name."""

from __future__ import annotations

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from deltalake import DeltaTable, write_deltalake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from many import examples
from yard import Yard, blobs

from lazaretto import stages
from lazaretto.authority.policies import register_policy
from lazaretto.dataset import admission, commit, delta, files
from lazaretto.dataset.recall import recall
from lazaretto.dataset.table import check_dataset, open_dataset
from lazaretto.errors import (
    ChangedDatasetError,
    ChangedFileError,
    ChangedStateError,
    LazarettoError,
    NotFoundError,
)
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import BatchAdmitted, DatasetChanged, StoredFileChanged
from lazaretto.storage import tables
from lazaretto.storage.store import Store
from lazaretto.values import Member

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

pytestmark = pytest.mark.alike

_FEW = settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def _home(yard: Yard) -> Path:
    return Path(yard.workspace.store.uri("datasets/blobs"))


def _events(yard: Yard, kind: str) -> list[Any]:
    with yard.workspace.catalog.read() as connection:
        return [entry.event for entry in entries(connection, kinds=[kind])]


def _log(yard: Yard, version: int) -> Path:
    return _home(yard) / "_delta_log" / f"{version:020}.json"


def _maybe_refused() -> AbstractContextManager[None]:
    return suppress(ChangedDatasetError)


def _take_out(yard: Yard, *ids: str) -> object:
    return recall(yard.workspace, "blobs", ids=list(ids), reason="trigger")


@_FEW
@given(data=st.data())
def test_any_byte_of_a_data_file_changed_is_named_wherever_it_is_read(
    sqlite_yard: Yard, data: st.DataObject
) -> None:
    yard = sqlite_yard
    if not _events(yard, BatchAdmitted.kind):
        yard.admit("monday", blobs(60, seed=5, prefix="m"))
        yard.admit("tuesday", blobs(60, seed=6, prefix="t"), source="vendor-b")
    taken = stages.snapshot(yard.workspace, "blobs", read=False)
    chosen = data.draw(st.sampled_from(taken.files))
    path = Path(yard.workspace.store.uri(chosen.file.path))
    good = path.read_bytes()
    place = data.draw(st.integers(0, len(good) - 1))
    changed = data.draw(
        st.sampled_from(
            [
                good[:place] + bytes([good[place] ^ data.draw(st.integers(1, 255))])
                + good[place + 1 :],
                good[:place],
                good + b"\0",
            ]
        )
    )  # fmt: skip
    uses: list[Callable[[], object]] = [
        lambda: stages.snapshot(yard.workspace, "blobs"),
        taken.table,
        lambda: taken.table(["id"]),
        lambda: list(taken.chunks()),
        lambda: recall(yard.workspace, "blobs", batch=chosen.batch, reason="x"),
    ]
    path.write_bytes(changed)
    try:
        before = len(_events(yard, StoredFileChanged.kind))
        for use in uses:
            with pytest.raises(ChangedFileError) as caught:
                use()
            assert caught.value.path == chosen.file.path
        noted = _events(yard, StoredFileChanged.kind)[before:]
        assert {(event.batch, event.path) for event in noted} == {(chosen.batch, chosen.file.path)}
        assert {event.stage for event in noted} == {"snapshot", "recall"}
    finally:
        path.write_bytes(good)
    assert stages.snapshot(yard.workspace, "blobs") == taken
    assert not _events(yard, "records_recalled")


@_FEW
@given(data=st.data())
def test_any_byte_of_the_log_changed_changes_nothing_that_is_read(
    sqlite_yard: Yard, data: st.DataObject
) -> None:
    """Refused, or it was nothing that decides what is read: a time, a word about the commit."""
    yard = sqlite_yard
    if not _events(yard, BatchAdmitted.kind):
        batch = yard.admit("monday", blobs(60, seed=5, prefix="m")).batch
        yard.admit("tuesday", blobs(60, seed=6, prefix="t"), source="vendor-b")
        _take_out(yard, f"{batch}#m0")
    taken = stages.snapshot(yard.workspace, "blobs")
    rows = DeltaTable(taken.uri).to_pyarrow_table(columns=["id"])
    path = data.draw(st.sampled_from(sorted((_home(yard) / "_delta_log").glob("*.json"))))
    good = path.read_bytes()
    place = data.draw(st.integers(0, len(good) - 1))
    value = data.draw(st.integers(0, 255))
    path.write_bytes(good[:place] + bytes([value]) + good[place + 1 :])
    try:
        with _maybe_refused():
            assert stages.snapshot(yard.workspace, "blobs") == taken
            assert DeltaTable(taken.uri).to_pyarrow_table(columns=["id"]).equals(rows)
    finally:
        path.write_bytes(good)
    assert stages.snapshot(yard.workspace, "blobs") == taken


def test_a_file_of_equal_size_in_anothers_place_is_refused(sqlite_yard: Yard) -> None:
    """What a digest of names and sizes does not see."""
    yard = sqlite_yard
    yard.admit("monday", blobs(60, seed=5))
    taken = stages.snapshot(yard.workspace, "blobs")
    (path,) = _home(yard).glob("*.parquet")
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(bytes(data))
    check_dataset(yard.workspace, "blobs")  # names and sizes alone
    with pytest.raises(ChangedFileError, match=path.name):
        stages.snapshot(yard.workspace, "blobs", version=taken.version)


def test_every_other_table_is_refused_everywhere_and_goes_on_record(yard: Yard) -> None:
    one = yard.admit("monday", blobs(30, seed=5, prefix="m")).batch
    shutil.copytree(_home(yard), yard.folder / "older")
    yard.admit("tuesday", blobs(30, seed=6, prefix="t"), source="vendor-b")
    taken = stages.snapshot(yard.workspace, "blobs")
    shutil.copytree(_home(yard), yard.folder / "newest")
    three = yard.judge("wednesday", blobs(30, seed=7, prefix="w")).batch
    rows = yard.dataset()

    def lost() -> None:
        pass

    def older() -> None:
        shutil.copytree(yard.folder / "older", _home(yard))

    def another() -> None:
        half = rows.slice(0, 30)
        write_deltalake(str(_home(yard)), half)
        write_deltalake(str(_home(yard)), half, mode="append")
        write_deltalake(str(_home(yard)), half, mode="append")

    def longer() -> None:
        shutil.copytree(yard.folder / "newest", _home(yard))
        write_deltalake(str(_home(yard)), rows.slice(0, 3), mode="append")

    def rewritten() -> None:
        shutil.copytree(yard.folder / "newest", _home(yard))
        log = _log(yard, taken.version)
        lines = log.read_text().splitlines()
        kept = [line for line in lines if "add" not in json.loads(line)]
        log.write_text("\n".join(kept))

    uses: list[Callable[[], object]] = [
        lambda: stages.admit(yard.workspace, three),
        lambda: stages.admit(yard.workspace, one),
        lambda: stages.snapshot(yard.workspace, "blobs"),
        lambda: stages.snapshot(yard.workspace, "blobs", version=1),
        lambda: _take_out(yard, f"{one}#m0"),
        lambda: stages.register_model(yard.workspace, "net", "1", "blobs", taken.version),
        lambda: check_dataset(yard.workspace, "blobs"),
    ]
    for harm in (lost, older, another, longer, rewritten):
        shutil.rmtree(_home(yard), ignore_errors=True)
        harm()
        before = len(_events(yard, DatasetChanged.kind))
        # A log that lists less than it did is seen by whoever reads it, not by its length.
        chosen = uses if harm is not rewritten else [uses[2], uses[4], uses[6]]
        for use in chosen:
            with pytest.raises(ChangedDatasetError):
                use()
        assert len(_events(yard, DatasetChanged.kind)) >= before + len(chosen) - 2
    shutil.rmtree(_home(yard))
    shutil.copytree(yard.folder / "newest", _home(yard))
    assert stages.snapshot(yard.workspace, "blobs") == taken
    assert stages.admit(yard.workspace, three).version == taken.version + 1


def test_rows_appended_under_a_known_batch_are_refused(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    yard.admit("monday", blobs(60, seed=5))
    write_deltalake(str(_home(yard)), yard.dataset(), mode="append")
    with pytest.raises(ChangedDatasetError, match="60 rows were written around the gate") as error:
        stages.snapshot(yard.workspace, "blobs")
    assert "00000000000000000002.json" in str(error.value)
    _log(yard, 2).unlink()  # as the message says
    assert stages.snapshot(yard.workspace, "blobs").rows == 60


def test_recalled_rows_that_the_log_brings_back_are_refused(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    batch = yard.admit("monday", blobs(60, seed=5)).batch
    _take_out(yard, f"{batch}#r0")
    log = _log(yard, 2)
    lines = [line for line in log.read_text().splitlines() if "remove" not in json.loads(line)]
    log.write_text("\n".join(lines))
    assert DeltaTable(str(_home(yard))).to_pyarrow_table().num_rows == 119
    with pytest.raises(ChangedDatasetError, match="60 rows were written around the gate"):
        stages.snapshot(yard.workspace, "blobs")


@pytest.mark.parametrize(
    ("table", "changed"),
    [
        ("dataset", {"version": 1}),
        ("dataset", {"version": 9}),
        ("dataset", {"table_id": "0" * 36}),
        ("dataset", {"entry": "0" * 64}),
        ("dataset", {"seq": 1}),
        ("dataset", {"seq": None}),
        ("admission", None),
        ("admission", {"rows": 1}),
        ("admission", {"version": 2}),
        ("admission", {"part": "publication-0"}),
        ("admission", {"entry": "0" * 64}),
        ("recall", None),
        ("recall", {"version": 1}),
        ("recall", {"records": 7}),
        ("recall", {"actor_id": "user:other"}),
        ("recall", {"reason": "none"}),
        ("recall", {"seq": 1}),
        ("snapshot", {"rows": 1}),
        ("snapshot", {"digest": "0" * 64}),
        ("snapshot", {"version": 1}),
    ],
)
def test_a_changed_row_of_the_catalog_is_named(
    yard: Yard, table: str, changed: dict[str, object] | None
) -> None:
    batch = yard.admit("monday", blobs(60, seed=5)).batch
    _take_out(yard, f"{batch}#r0")
    if table == "snapshot":
        stages.snapshot(yard.workspace, "blobs")
    target = tables.metadata.tables[table]
    with yard.workspace.catalog.transaction() as connection:
        if changed is None:
            connection.execute(sa.text(f"DELETE FROM {table}"))
        else:
            connection.execute(target.update().values(changed))
    with pytest.raises(ChangedStateError, match=f"^{table} |^dataset "):
        stages.snapshot(yard.workspace, "blobs")


def _cut(*_: object) -> None:
    raise InterruptedError


@pytest.mark.parametrize("next_use", ["admission", "snapshot", "recall", "register", "again"])
@pytest.mark.parametrize("what", ["admission", "recall"])
def test_what_was_cut_off_behind_its_record_is_finished_by_whatever_comes_next(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, what: str, next_use: str
) -> None:
    one = yard.admit("monday", blobs(30, seed=5, prefix="m")).batch
    taken = stages.snapshot(yard.workspace, "blobs")
    two = yard.judge("tuesday", blobs(30, seed=6, prefix="t")).batch
    three = yard.judge("wednesday", blobs(30, seed=7, prefix="w")).batch
    acts: dict[str, Callable[[], object]] = {
        "admission": lambda: stages.admit(yard.workspace, two),
        "recall": lambda: recall(yard.workspace, "blobs", batch=one, reason="x"),
    }
    with monkeypatch.context() as patch:
        patch.setattr(commit, "add_commit", _cut)
        with pytest.raises(InterruptedError):
            acts[what]()
    assert DeltaTable(taken.uri).version() == taken.version
    check_dataset(yard.workspace, "blobs")  # on its way is no damage, and a look changes nothing
    assert DeltaTable(taken.uri).version() == taken.version
    uses: dict[str, Callable[[], object]] = {
        "admission": lambda: stages.admit(yard.workspace, three),
        "snapshot": lambda: stages.snapshot(yard.workspace, "blobs"),
        "recall": lambda: recall(yard.workspace, "blobs", source="vendor-a", reason="other words"),
        "register": lambda: stages.register_model(
            yard.workspace, "net", "1", "blobs", taken.version
        ),
        "again": acts[what],
    }
    uses[next_use]()
    there = {name[0] for name in yard.ids()}
    wanted = {"m", "t"} if what == "admission" else set()
    wanted |= {"w"} if next_use == "admission" else set()
    assert there == (set() if next_use == "recall" else wanted)
    assert len(yard.ids()) == len(set(yard.ids())) == 30 * len(there)
    acts[what]()
    assert len(_events(yard, "records_recalled")) <= 2
    assert {name[0] for name in yard.ids()} == there


def test_a_cut_off_version_whose_files_are_gone_is_refused(
    sqlite_yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder was restored as it was one version before."""
    yard = sqlite_yard
    yard.admit("monday", blobs(30, seed=5, prefix="m"))
    shutil.copytree(_home(yard), yard.folder / "older")
    yard.admit("tuesday", blobs(30, seed=6, prefix="t"))
    shutil.rmtree(_home(yard))
    shutil.copytree(yard.folder / "older", _home(yard))
    monkeypatch.setattr(commit, "add_commit", _cut)
    with pytest.raises(ChangedDatasetError, match="version 2 is not in its log"):
        stages.snapshot(yard.workspace, "blobs")


def test_a_recall_in_other_words_gives_back_the_one_that_took_the_records(yard: Yard) -> None:
    one = yard.admit("monday", blobs(30, seed=5, prefix="m")).batch
    done = recall(yard.workspace, "blobs", source="vendor-a", reason="hacked")
    words: list[dict[str, Any]] = [{"batch": one}, {"ids": [f"{one}#m3"]}, {"source": "vendor-a"}]
    for other in words:
        assert recall(yard.workspace, "blobs", reason="again", **other) == done
    with pytest.raises(NotFoundError, match="none of these records"):
        _take_out(yard, f"{one}#never")
    assert len(_events(yard, "records_recalled")) == 1


def test_a_batch_that_was_recalled_is_not_said_to_be_admitted(yard: Yard) -> None:
    admitted = yard.admit("monday", blobs(30, seed=5))
    part = recall(yard.workspace, "blobs", ids=[f"{admitted.batch}#r0"], reason="x")
    left = stages.admit(yard.workspace, admitted.batch)
    assert left == replace(admitted, rows=29, recalled=part.id)
    rest = recall(yard.workspace, "blobs", batch=admitted.batch, reason="y")
    gone = stages.admit(yard.workspace, admitted.batch)
    assert gone == replace(admitted, rows=0, recalled=rest.id)
    assert yard.ids() == []
    other = yard.admit("tuesday", blobs(30, seed=6, prefix="t"))
    assert stages.admit(yard.workspace, other.batch) == other


def test_rows_go_on_in_another_file_and_are_read_back_in_order(
    sqlite_yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard = sqlite_yard
    monkeypatch.setattr(files, "_ENOUGH", 1)
    schema = pa.schema([("n", pa.int64()), ("text", pa.string())])
    chunks = [
        pa.RecordBatch.from_pydict({"n": range(start, start + 10), "text": ["x" * 600_000] * 10})
        for start in (0, 10, 20)
    ]
    rows = [chunk.cast(schema) for chunk in chunks]
    store = yard.workspace.store
    written = files.write_rows(store, "d", "why", "a/b", "cleared", schema, rows)
    assert [file.rows for file in written] == [10, 10, 10]
    again = files.write_rows(store, "d", "why", "a/b", "cleared", schema, rows)
    assert again == written
    read = pa.Table.from_batches(files.read_rows(store, written, columns=["n"]))
    assert read["n"].to_pylist() == list(range(30))
    other = files.write_rows(store, "d", "other", "a/b", "cleared", schema, rows)
    assert {file.file.path for file in other}.isdisjoint(file.file.path for file in written)


def test_a_data_file_has_one_name_for_one_purpose_and_its_columns_decide_nothing(
    sqlite_yard: Yard,
) -> None:
    """The first admission writes its rows once, although it creates the table meanwhile."""
    yard = sqlite_yard
    yard.admit("monday", blobs(60, seed=5))
    assert len(list(_home(yard).glob("*.parquet"))) == 1


def test_a_store_that_moved_is_the_same_dataset(yard: Yard) -> None:
    yard.admit("monday", blobs(60, seed=5))
    taken = stages.snapshot(yard.workspace, "blobs")
    moved = yard.folder / "elsewhere" / "store"
    shutil.copytree(yard.workspace.store.root, moved)
    shutil.rmtree(yard.workspace.store.root)
    workspace = replace(yard.workspace, store=Store.at(moved))
    found = stages.snapshot(workspace, "blobs")
    assert replace(found, uri=taken.uri) == taken
    assert found.table(["id"]).num_rows == 60
    opened = open_dataset(workspace, "blobs")
    assert [file.rows for file in opened.files] == [60]


def test_a_dataset_of_which_everything_was_recalled_can_be_read(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    batch = yard.admit("monday", blobs(60, seed=5)).batch
    recall(yard.workspace, "blobs", batch=batch, reason="x")
    empty = stages.snapshot(yard.workspace, "blobs")
    assert (empty.rows, empty.members, empty.files) == (0, [], [])
    assert empty.table(["id", "label"]).num_rows == 0
    start = stages.snapshot(yard.workspace, "blobs", version=0)
    assert start.digest == empty.digest
    assert stages.snapshot(yard.workspace, "blobs", version=1).members == [Member(batch, 60)]


def test_a_batch_judged_again_while_it_is_admitted_does_not_enter(
    sqlite_yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard = sqlite_yard
    batch = yard.judge("monday", blobs(60, seed=5)).batch
    stricter = yard.policy.model_copy(
        update={
            "screen": yard.policy.screen.model_copy(update={"false_quarantine_rate": 0.2}),
        }
    )
    real = admission.write_rows

    def slow(*args: Any) -> Any:
        register_policy(yard.workspace, stricter, reason="a lower rate")
        for stage in (stages.validate, stages.embed, stages.screen, stages.gate):
            stage(yard.workspace, batch, stricter)
        return real(*args)

    monkeypatch.setattr(admission, "write_rows", slow)
    with pytest.raises(LazarettoError, match=r"judged (again|by)"):
        stages.admit(yard.workspace, batch)
    assert not _events(yard, BatchAdmitted.kind)


def test_a_table_that_several_create_at_once_is_created_once(tmp_path: Path) -> None:
    schema = pa.schema([("id", pa.string())])
    for attempt in range(20):
        uri = str(tmp_path / str(attempt))
        start = threading.Barrier(4)

        def create(uri: str = uri, start: threading.Barrier = start) -> None:
            start.wait()
            delta.create_table(uri, schema)

        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(create) for _ in range(4)]:
                done.result()
        assert DeltaTable(uri).version() == 0


_RIVALS = """
import sys
from lazaretto import stages
from lazaretto.dataset.recall import recall
from lazaretto.storage.workspace import open_workspace
workspace = open_workspace(catalog_url=sys.argv[1], store=sys.argv[2])
for what in sys.argv[3:]:
    if "#" in what:
        recall(workspace, "blobs", ids=[what], reason="trigger")
    else:
        stages.admit(workspace, what)
    stages.snapshot(workspace, "blobs")
"""


def test_admissions_recalls_and_snapshots_at_once(
    yard: Yard, catalog_url: str, at_once: Callable[..., None]
) -> None:
    """Recalls of one data file race: none brings back what another took out."""
    batch = yard.admit("monday", blobs(60, seed=5, prefix="m")).batch
    more = [
        yard.judge(f"d{day}", blobs(30, seed=day, prefix=f"d{day}-")).batch for day in range(6, 9)
    ]
    place = [catalog_url, yard.workspace.store.root]
    shares = [
        [f"{batch}#m0", f"{batch}#m1", more[0]],
        [f"{batch}#m2", more[1], f"{batch}#m3"],
        [more[2], f"{batch}#m4", f"{batch}#m5"],
    ]
    at_once(_RIVALS, *([*place, *share] for share in shares))
    ids = yard.ids()
    assert len(ids) == len(set(ids)) == 60 - 6 + 90
    assert not {f"m{number}" for number in range(6)} & set(ids)
    taken = stages.snapshot(yard.workspace, "blobs")
    assert taken.rows == len(ids)
    assert taken.version == 1 + 6 + 3
