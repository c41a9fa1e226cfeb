"""A dataset's columns change by policy alone, and what cannot enter is held with the reason."""

from __future__ import annotations

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from many import examples
from yard import Yard, blobs, make_policy

from lazaretto import stages
from lazaretto.authority.policies import register_policy
from lazaretto.dataset.admission import admit_part
from lazaretto.dataset.compare import compare_table
from lazaretto.dataset.evolve import find_change
from lazaretto.dataset.fit import find_fit
from lazaretto.dataset.mend import commit_missing
from lazaretto.dataset.part import Part, added_columns
from lazaretto.dataset.recall import recall
from lazaretto.dataset.table import check_dataset, open_dataset
from lazaretto.errors import AdmissionRefusedError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import DatasetGrown
from lazaretto.policy import Evolve
from lazaretto.quarantine.counts import UNDECIDED
from lazaretto.quarantine.publish import publish
from lazaretto.quarantine.review import decide
from lazaretto.stages.taken import open_snapshot
from lazaretto.values import Action, PolicyRef, Verdict

pytestmark = pytest.mark.alike

KEEP = {"extra_columns": "keep", "add_columns": True}


def _by(yard: Yard, **evolve: object) -> Yard:
    return replace(yard, policy=make_policy(evolve=evolve))


def _rows(day: int, count: int = 60, **columns: object) -> pa.Table:
    """A clean delivery with more columns; None leaves one out."""
    table = blobs(count, seed=5 + day, prefix=f"d{day}-")
    for name, values in columns.items():
        if name in table.column_names:
            table = table.drop([name])
        if values is not None:
            table = table.append_column(name, values)
    return table


def _grown(yard: Yard) -> list[DatasetGrown]:
    with yard.workspace.catalog.read() as connection:
        found = [one.event for one in entries(connection, kinds=[DatasetGrown.kind])]
    return [event for event in found if isinstance(event, DatasetGrown)]


def _numbers(kind: pa.DataType | None = None, start: int = 0) -> pa.Array:
    return pa.array(range(start, start + 60), kind or pa.int32())


def _start(kind: pa.DataType) -> pa.Array:
    """Whole numbers in a type that has to become a wider one."""
    if pa.types.is_decimal(kind):
        return pa.array([Decimal(n) for n in range(60)], kind)
    return _numbers(kind)


def test_a_column_that_nobody_knows_is_held_and_the_reason_names_it(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    yard.admit("monday", _rows(0))
    judged = yard.judge("tuesday", _rows(1, __index_level_0__=_numbers()))
    assert (judged.verdict, judged.held, judged.cleared) == (Verdict.HOLD_BATCH, 60, 0)
    assert judged.case is not None
    (note,) = [note for note in judged.notes if "__index_level_0__" in note]
    assert "index=False" in note
    assert stages.admit(yard.workspace, judged.batch).rows == 0
    assert not _grown(yard)


def test_a_column_is_kept_and_older_records_have_null(yard: Yard) -> None:
    yard = _by(yard, **KEEP)
    monday = yard.admit("monday", _rows(0))
    judged = yard.judge("tuesday", _rows(1, price=_numbers(pa.float64())))
    assert judged.verdict is Verdict.PASS
    assert "dataset 'blobs' gets column 'price'" in judged.notes
    tuesday = stages.admit(yard.workspace, judged.batch)
    assert (monday.version, tuesday.version) == (1, 3)
    found = yard.dataset()
    assert found["price"].null_count == 60
    assert sorted(found["price"].drop_null().to_pylist()) == [float(n) for n in range(60)]
    (event,) = _grown(yard)
    assert (event.version, event.needed_by) == (2, judged.batch)
    assert [(one.name, one.type) for one in event.added] == [("price", "double")]
    check_dataset(yard.workspace, "blobs")
    assert compare_table(yard.workspace, "blobs", yard.workspace.store.sizes()) is None


def test_versions_before_and_after_read_as_they_were(sqlite_yard: Yard) -> None:
    yard = _by(sqlite_yard, widen_types=True, **KEEP)
    yard.admit("monday", _rows(0, count_=_numbers(pa.int32())))
    first = stages.snapshot(yard.workspace, "blobs")
    before = first.table()
    big = pa.array([2**40 + n for n in range(60)], pa.int64())
    tuesday = yard.admit("tuesday", _rows(1, count_=big, note=pa.array(["x"] * 60)))
    (event,) = _grown(yard)
    assert [one.name for one in event.widened] == ["count_"]
    assert [one.name for one in event.added] == ["note"]
    assert len(event.removed) == len(event.files) == 1
    second = stages.snapshot(yard.workspace, "blobs")
    assert second.version == tuesday.version == 3
    now = second.table()
    assert now.schema.field("count_").type == pa.int64()
    assert set(now["count_"].to_pylist()) == {*range(60), *big.to_pylist()}
    assert now["note"].null_count == 60
    assert second.table(["note", "id"]).column_names == ["note", "id"]
    again = open_snapshot(yard.workspace, "blobs", str(first.version)).table()
    assert again.equals(before)
    assert yard.dataset(1).num_rows == 60
    assert yard.dataset(2)["count_"].type == pa.int64()
    assert second.table().num_rows == DeltaTable(second.uri).to_pyarrow_table().num_rows
    taken = recall(yard.workspace, "blobs", ids=[f"{tuesday.batch}#d1-3"], reason="bad")
    left = yard.dataset(taken.version)
    assert (left.num_rows, left["count_"].type) == (119, pa.int64())
    earlier = recall(yard.workspace, "blobs", batch=first.members[0].batch, reason="all bad")
    assert yard.dataset(earlier.version).num_rows == 59
    assert stages.snapshot(yard.workspace, "blobs").table()["note"].null_count == 0


def test_a_column_is_left_out_and_the_verdict_says_so(sqlite_yard: Yard) -> None:
    yard = _by(sqlite_yard, extra_columns="drop")
    yard.admit("monday", _rows(0))
    judged = yard.judge("tuesday", _rows(1, price=_numbers()))
    assert judged.verdict is Verdict.PASS
    assert "column 'price' is not admitted, by evolve" in judged.notes
    assert stages.admit(yard.workspace, judged.batch).rows == 60
    assert "price" not in yard.dataset().column_names
    assert not _grown(yard)


def test_a_missing_column_is_held_or_filled(sqlite_yard: Yard) -> None:
    sqlite_yard.admit("monday", _rows(0, price=_numbers()))
    judged = sqlite_yard.judge("tuesday", _rows(1))
    assert judged.verdict is Verdict.HOLD_BATCH
    assert any("'price' is missing" in note for note in judged.notes)
    yard = _by(sqlite_yard, missing_columns="fill")
    register_policy(yard.workspace, yard.policy, reason="the vendor stopped sending prices")
    again = stages.rejudge(yard.workspace, judged.batch, yard.policy, reason="filled now")
    assert again.verdict is Verdict.PASS
    assert stages.admit(yard.workspace, judged.batch).rows == 60
    assert yard.dataset()["price"].null_count == 60


@pytest.mark.parametrize(
    ("first", "second", "wide"),
    [
        (pa.int32(), pa.array([2**40] * 60), pa.int64()),
        (pa.float32(), pa.array([0.1] * 60), pa.float64()),
        (pa.int64(), pa.array([0.5] * 60), pa.float64()),
        (
            pa.decimal128(5, 2),
            pa.array([Decimal("1.234")] * 60, pa.decimal128(9, 3)),
            pa.decimal128(9, 3),
        ),
    ],
    ids=["int", "float", "int-to-float", "decimal"],
)
def test_a_type_is_widened_by_policy_alone_and_without_loss(
    sqlite_yard: Yard, first: pa.DataType, second: pa.Array, wide: pa.DataType
) -> None:
    sqlite_yard.admit("monday", _rows(0, n=_start(first)))
    held = sqlite_yard.judge("tuesday", _rows(1, n=second))
    assert held.verdict is Verdict.HOLD_BATCH
    assert any("'n'" in note and "evolve.widen_types" in note for note in held.notes)
    yard = _by(sqlite_yard, widen_types=True)
    register_policy(yard.workspace, yard.policy, reason="larger numbers are right")
    stages.rejudge(yard.workspace, held.batch, yard.policy, reason="widened now")
    assert stages.admit(yard.workspace, held.batch).rows == 60
    found = yard.dataset()["n"]
    assert found.type == wide
    both = {*second.to_pylist(), *_start(first).to_pylist()}
    assert set(found.to_pylist()) == both


def test_an_old_value_without_a_place_in_the_wider_type_holds_the_batch(sqlite_yard: Yard) -> None:
    yard = _by(sqlite_yard, widen_types=True)
    yard.admit("monday", _rows(0, n=pa.array([2**53 + 1] * 60)))
    judged = yard.judge("tuesday", _rows(1, n=pa.array([0.5] * 60)))
    assert judged.verdict is Verdict.HOLD_BATCH
    assert any("'n'" in note and "9007199254740993" in note for note in judged.notes)


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("n", pa.string()),
        ("n", pa.date32()),
        ("Text", pa.string()),
        ("e", pa.null()),
        ("t", pa.time64("us")),
    ],
)
def test_what_can_never_enter_is_named(column: str, kind: pa.DataType) -> None:
    rules = Evolve(widen_types=True, missing_columns="fill", extra_columns="keep", add_columns=True)
    dataset = pa.schema([("n", pa.int32()), ("text", pa.string())])
    fit = find_change(pa.schema([(column, kind)]), dataset, rules, ())
    (problem,) = fit.problems
    assert f"'{column}'" in problem


def test_the_first_batch_is_held_where_no_dataset_can_keep_it(sqlite_yard: Yard) -> None:
    judged = sqlite_yard.judge("monday", _rows(0, empty=pa.nulls(60)))
    assert judged.verdict is Verdict.HOLD_BATCH
    assert any("'empty' holds nothing but nulls" in note for note in judged.notes)
    large = pa.array([2**63 + n for n in range(60)], pa.uint64())
    judged = sqlite_yard.judge("tuesday", _rows(1, n=large))
    assert any("'n' holds 9223372036854775808" in note for note in judged.notes)


def test_a_release_that_could_not_be_published_is_refused_before_it_is_decided(
    sqlite_yard: Yard,
) -> None:
    yard = sqlite_yard
    yard.admit("monday", _rows(0))
    judged = yard.judge("tuesday", _rows(1, price=_numbers()))
    case = str(judged.case)
    with pytest.raises(AdmissionRefusedError, match="'price' is neither") as refused:
        decide(yard.workspace, case, Action.RELEASE, all=True, reason="fine")
    assert refused.value.code == "does_not_fit"
    assert decide(yard.workspace, case, Action.REJECT, ids=["d1-0"], reason="no").records == 1
    allowed = _by(yard, **KEEP)
    register_policy(yard.workspace, allowed.policy, reason="prices are wanted")
    decide(yard.workspace, case, Action.RELEASE, filter={"action": UNDECIDED}, reason="fine")
    done = publish(yard.workspace, case)
    assert done is not None
    assert done.rows == 59
    assert sorted(yard.dataset()["price"].drop_null().to_pylist()) == list(range(1, 60))


def test_both_of_two_admissions_that_add_a_column_go_through(yard: Yard) -> None:
    yard = _by(yard, missing_columns="fill", **KEEP)
    yard.admit("monday", _rows(0))
    batches = [
        yard.judge("one", _rows(1, price=_numbers())).batch,
        yard.judge("two", _rows(2, price=_numbers(start=60), note=pa.array(["x"] * 60))).batch,
    ]
    ready = threading.Barrier(2)

    def enter(batch: str) -> int:
        ready.wait()
        return stages.admit(yard.workspace, batch).rows

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(enter, batches)) == [60, 60]
    found = yard.dataset()
    assert sorted(found["price"].drop_null().to_pylist()) == list(range(120))
    assert found["note"].null_count == 120
    added = [one.name for event in _grown(yard) for one in event.added]
    assert sorted(added) == ["note", "price"]
    check_dataset(yard.workspace, "blobs")


def test_a_table_that_grew_is_made_anew_from_the_ledger(sqlite_yard: Yard) -> None:
    yard = _by(sqlite_yard, widen_types=True, **KEEP)
    yard.admit("monday", _rows(0, n=_numbers()))
    yard.admit("tuesday", _rows(1, n=pa.array([2**40] * 60), price=_numbers()))
    before = yard.dataset().sort_by("id")
    shutil.rmtree(Path(yard.workspace.store.uri("datasets/blobs")) / "_delta_log")
    plan = compare_table(yard.workspace, "blobs", yard.workspace.store.sizes())
    assert plan is not None
    commit_missing(yard.workspace, plan)
    assert yard.dataset().sort_by("id").equals(before)


def test_vectors_of_another_width_or_none_hold_the_batch(sqlite_yard: Yard) -> None:
    wide = pa.array([[0.5] * 9] * 60, pa.list_(pa.float32()))
    judged = sqlite_yard.judge("wide", _rows(0, vector=wide))
    assert judged.verdict is Verdict.HOLD_BATCH
    assert any("'vector' has 9 numbers" in note and "has 8" in note for note in judged.notes)
    for name, values in (("none", None), ("nulls", pa.nulls(60, pa.list_(pa.float32())))):
        judged = sqlite_yard.judge(name, _rows(1, vector=values))
        assert judged.verdict is Verdict.HOLD_BATCH
        assert any("vector" in note for note in judged.notes)


_KINDS: dict[str, st.SearchStrategy[Any]] = {
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "float32": st.floats(allow_nan=False, width=32),
    "float64": st.floats(allow_nan=False),
    "string": st.text(max_size=3),
    "bool": st.booleans(),
    "date32[day]": st.dates(),
}


@st.composite
def _sequences(draw: st.DrawFn) -> tuple[dict[str, object], list[dict[str, pa.Array]]]:
    evolve = {
        "extra_columns": draw(st.sampled_from(["hold", "keep", "drop"])),
        "add_columns": True,
        "widen_types": draw(st.booleans()),
        "missing_columns": draw(st.sampled_from(["hold", "fill"])),
    }
    days = []
    for _ in range(3):
        day = {}
        for name in draw(st.lists(st.sampled_from("abc"), unique=True, max_size=3)):
            kind = draw(st.sampled_from(sorted(_KINDS)))
            values = draw(st.lists(st.none() | _KINDS[kind], min_size=2, max_size=2))
            if kind == "date32[day]":
                day[name] = pa.array(values, pa.date32())
            else:
                day[name] = pa.array(values, pa.type_for_alias(kind))
        days.append(day)
    return evolve, days


@settings(
    max_examples=examples(10),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(sequence=_sequences())
def test_every_batch_is_admitted_exactly_or_held_with_a_reason_that_names_the_column(
    sqlite_yard: Yard,
    sequence: tuple[dict[str, Any], list[dict[str, pa.Array]]],
) -> None:
    """What the gate asks, and what admission then does, over deliveries of any columns."""
    rules, dataset, workspace = Evolve(**sequence[0]), f"d{uuid4().hex}", sqlite_yard.workspace
    delivered: dict[str, dict[str, object]] = {}
    for day, columns in enumerate(sequence[1]):
        ids = [f"{dataset}-{day}-{n}" for n in range(2)]
        rows = pa.table({"id": pa.array(ids), **columns}).combine_chunks().to_batches()[0]
        fit = find_fit(workspace, dataset, rows.schema, partial(_chosen, rows), rules, ())
        if fit.problems:
            assert any(f"'{name}'" in problem for problem in fit.problems for name in "abc")
            continue
        batch = sqlite_yard.receive(f"{dataset}-{day}", pa.Table.from_batches([rows])).id
        admit_part(workspace, _part(dataset, batch, rows, rules, first=not delivered))
        for position, one in enumerate(ids):
            row = {name: columns[name][position].as_py() for name in columns}
            delivered[one] = {name: row[name] for name in row if name not in fit.dropped}
    if delivered:
        uri = open_dataset(workspace, dataset).uri
        found = {row["id"]: row for row in DeltaTable(uri).to_pyarrow_table().to_pylist()}
        assert found.keys() == delivered.keys()
        for one, row in delivered.items():
            assert {name: found[one][name] for name in row} == row
            others = (set("abc") & found[one].keys()) - row.keys()
            assert all(found[one][name] is None for name in others)


def _chosen(rows: pa.RecordBatch, names: list[str]) -> list[pa.RecordBatch]:
    return [rows.select(names)]


def _part(dataset: str, batch: str, rows: pa.RecordBatch, rules: Evolve, *, first: bool) -> Part:
    whole = added_columns(rows, batch, "vendor-a", rows.column("id"))
    return Part(
        batch=batch,
        source="vendor-a",
        dataset=dataset,
        name="cleared",
        rows=rows.num_rows,
        schema=whole.schema,
        chunks=lambda: [whole],
        policy=PolicyRef(dataset, "0" * 64, "1" * 64, None),
        check=lambda _: None,
        first=first,
        evolve=rules,
    )


def test_a_number_in_text_may_widen_the_column_too(sqlite_yard: Yard) -> None:
    yard = _by(sqlite_yard, widen_types=True)
    for day, price in (("monday", 2), ("tuesday", 2.5)):
        rows = [{**row, "price": price} for row in blobs(60, seed=len(day), prefix=day).to_pylist()]
        path = yard.folder / f"{day}.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        stages.ingest(yard.workspace, path, "vendor-a", yard.policy)
    found = yard.dataset()
    assert found["price"].type == pa.float64()
    assert sorted(set(found["price"].to_pylist())) == [2.0, 2.5]
