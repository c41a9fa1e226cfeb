"""Types of a text delivery are the contract's, then the dataset's; one file enters once."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from yard import Yard, blobs, make_policy

from lazaretto import stages
from lazaretto.authority.policies import register_policy
from lazaretto.dataset.declared import wanted_columns
from lazaretto.errors import AdmissionRefusedError, DeliveryError
from lazaretto.ledger import chain as ledger
from lazaretto.ledger.events import DeliveryRefused
from lazaretto.quarantine.cases import list_cases
from lazaretto.quarantine.review import decide
from lazaretto.received import load_batch, open_stored
from lazaretto.values import Action, Verdict

if TYPE_CHECKING:
    from pathlib import Path

CONTRACT = """
import pandera.polars as pa
import polars as pl
from pandera.typing.polars import Series

class Record(pa.DataFrameModel):
    id: Series[str]
    price: Series[float] = pa.Field(ge=0, nullable=True)
    amount: Series[int] = pa.Field(alias="amount_.*", regex=True, required=False)
    zoned: Series[pl.Datetime(time_zone="Europe/Berlin")] = pa.Field(required=False)
"""


def write(yard: Yard, name: str, rows: pa.Table, **extra: list[Any]) -> Path:
    """A delivery as JSON Lines."""
    path = yard.folder / f"{name}.jsonl"
    columns = {name: rows[name].to_pylist() for name in rows.column_names} | extra
    lines = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def ingest(yard: Yard, path: Path) -> stages.Ingestion:
    return stages.ingest(yard.workspace, path, "vendor-a", yard.policy)


def types(yard: Yard, batch: str) -> dict[str, pa.DataType]:
    schema = open_stored(yard.workspace, load_batch(yard.workspace, batch)).schema
    return dict(zip(schema.names, schema.types, strict=True))


def test_a_day_has_the_types_of_the_dataset_whatever_its_values_look_like(
    sqlite_yard: Yard,
) -> None:
    yard = sqlite_yard
    ingest(yard, write(yard, "a", blobs(60, seed=5), price=[1.5] * 60, note=["x"] * 60))
    got = ingest(
        yard, write(yard, "b", blobs(60, seed=6, prefix="t"), price=[2] * 60, note=[None] * 60)
    )
    assert types(yard, got.received.id)["price"] == pa.float64()
    assert got.admission is not None
    assert got.admission.rows == 60
    rows = yard.dataset()
    assert set(rows["price"].to_pylist()) == {1.5, 2.0}
    assert set(rows["note"].to_pylist()) == {"x", None}


@pytest.mark.parametrize("price", ["dear", 2**53 + 1, True])
@pytest.mark.parametrize("kind", ["json", "csv"])
def test_what_is_not_of_the_type_is_held_with_column_record_and_value(
    sqlite_yard: Yard, kind: str, price: Any
) -> None:
    yard = sqlite_yard
    ingest(yard, write(yard, "a", blobs(60, seed=5), price=[1.5] * 60))
    rows = blobs(60, seed=6, prefix="t")
    path = write(yard, "b", rows, price=[2.5] * 59 + [price])
    if kind == "csv":  # which holds no vectors: they are text there, and none of the dataset's type
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        path = path.with_suffix(".csv")
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(lines[0]))
            writer.writeheader()
            writer.writerows(lines)
    got = ingest(yard, path)
    assert got.judgement.verdict is Verdict.HOLD_BATCH
    assert got.judgement.held == 60
    value = json.dumps(price).strip('"')
    found = [note for note in got.judgement.notes if "column 'price', record 60: " in note]
    assert len(found) == 1
    assert value.casefold() in found[0].casefold()
    assert "not exactly a value of type double, which dataset 'blobs' says" in found[0]
    # All of it is there for a reviewer, as it was written.
    kept = open_stored(yard.workspace, load_batch(yard.workspace, got.received.id)).table()
    first, last = kept["price"].to_pylist()[::59]
    assert (first, last.casefold()) == ("2.5", value.casefold())
    assert len(yard.dataset()) == 60
    (case,) = list_cases(yard.workspace)
    with pytest.raises(AdmissionRefusedError, match="price"):
        decide(yard.workspace, case.id, Action.RELEASE, all=True, reason="it looks right")


def test_fields_of_two_kinds_are_refused_for_no_column_holds_both(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    path = write(yard, "b", blobs(60, seed=6), price=[2.5] * 59 + [[1.5]])
    with pytest.raises(DeliveryError, match="price"):
        ingest(yard, path)
    with yard.workspace.catalog.read() as connection:
        refusal = list(ledger.entries(connection))[-1].event
    assert isinstance(refusal, DeliveryRefused)
    assert refusal.code == "unreadable"


def test_once_the_contract_is_corrected_the_same_delivery_is_another_batch_that_enters(
    sqlite_yard: Yard,
) -> None:
    yard = sqlite_yard
    path = write(yard, "a", blobs(60, seed=5), price=["1.5"] * 59 + ["dear"])
    rules = {"columns": {"price": {"type": "number"}}}
    strict = make_policy(contract={"rules": rules})
    held = stages.ingest(yard.workspace, path, "vendor-a", strict)
    assert held.judgement.verdict is Verdict.HOLD_BATCH
    assert any("record 1: '1.5' is not exactly" in note for note in held.judgement.notes)
    loose = make_policy(contract={"rules": {"columns": {"price": {"type": "text"}}}})
    register_policy(yard.workspace, loose, reason="prices are words")
    again = stages.rejudge(yard.workspace, held.received.id, loose, reason="prices are words")
    assert again.verdict is Verdict.PASS
    assert stages.admit(yard.workspace, held.received.id).rows == 60


def test_a_value_without_a_place_in_the_dataset_is_held(sqlite_yard: Yard) -> None:
    yard = sqlite_yard
    single = pa.array([1.5] * 60, pa.float32())
    yard.admit("a", blobs(60, seed=5).append_column("x", single))
    judged = yard.judge("b", blobs(60, seed=6, prefix="t").append_column("x", pa.array([0.1] * 60)))
    assert judged.verdict is Verdict.HOLD_BATCH
    assert any(note.startswith("column 'x' holds 0.1, which") for note in judged.notes)
    assert stages.admit(yard.workspace, judged.batch).rows == 0


def test_the_contract_comes_first(sqlite_yard: Yard, tmp_path: Path) -> None:
    yard = sqlite_yard
    (tmp_path / "contract.py").write_text(CONTRACT)
    rules = make_policy(contract=f"{tmp_path}/contract.py:Record")
    wanted = wanted_columns(yard.workspace, rules, "csv")
    found = {name: wanted.declaration(name) for name in ("id", "price", "amount_eur", "zoned", "z")}
    kinds = {name: said and said.kind for name, said in found.items()}
    assert kinds == {
        "id": pa.string(),
        "price": pa.float64(),
        "amount_eur": pa.int64(),
        "zoned": pa.timestamp("us", "Europe/Berlin"),
        "z": None,
    }
    assert wanted_columns(yard.workspace, rules, "parquet").declared.names == []
    assert (wanted.role("id"), wanted.role("label"), wanted.role("x")) == ("id", "label", "value")


def test_the_same_bytes_read_with_other_types_enter_no_dataset_twice(sqlite_yard: Yard) -> None:
    """A day of whole numbers that came before the dataset had its type, and is cleared again."""
    yard = sqlite_yard
    early = write(yard, "early", blobs(60, seed=5), price=[2] * 60)
    first = stages.receive(yard.workspace, early, "vendor-a", policy=yard.policy)
    ingest(yard, write(yard, "later", blobs(60, seed=6, prefix="t"), price=[1.5] * 60))
    # Nothing of it was admitted yet: it is read with the dataset's types.
    second = stages.receive(yard.workspace, early, "vendor-a", policy=yard.policy)
    assert first.id != second.id
    assert types(yard, first.id)["price"] == pa.int64()
    assert types(yard, second.id)["price"] == pa.float64()
    for stage in (stages.validate, stages.embed, stages.screen):
        stage(yard.workspace, first.id, yard.policy)
    stages.gate(yard.workspace, first.id, yard.policy)
    stages.admit(yard.workspace, first.id)
    third = stages.receive(yard.workspace, early, "vendor-a", policy=yard.policy)
    assert third.id == first.id
    copy = yard.folder / "copy.jsonl"
    copy.write_bytes(early.read_bytes())
    with pytest.raises(DeliveryError) as raised:
        stages.receive(yard.workspace, copy, "vendor-a", policy=yard.policy)
    assert raised.value.code == "replay"
