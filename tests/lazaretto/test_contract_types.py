"""A contract judges records by their values: odd types, odd names, and what polars cannot hold."""

from __future__ import annotations

import decimal
import re
from typing import Any

import pandera.polars as pandera
import polars as pl
import pyarrow as pa
import pytest

from lazaretto.contract import Contract, ContractReport, evaluate
from lazaretto.contract._frame import join_frames, make_frame
from lazaretto.policy import Columns

IDS = ["a", "b", "c"]


def judged(schema: Any, **columns: Any) -> ContractReport:
    """The report on three records with these columns."""
    table = pa.table({"id": IDS, **columns})
    return evaluate(table, Contract("m", schema), Columns(record_id="id"))


def failing(report: ContractReport) -> dict[str, list[str]]:
    """Ids by rule."""
    rows = report.failures.to_pylist()
    rules = dict.fromkeys(row["rule"] for row in rows)
    return {rule: [r["record_id"] for r in rows if r["rule"] == rule] for rule in rules}


def column(dtype: Any, *checks: Any, **options: Any) -> pandera.Column:
    return pandera.Column(dtype, list(checks), **options)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (pa.array([1, 2, 3]), float),
        (pa.array([1, 2, 3], pa.int8()), int),
        (pa.array([0.5, 1.5, 2.5], pa.float32()), float),
        (pa.array([1, 2, 3], pa.uint64()), pl.Decimal(10, 2)),
        (pa.array([1000, 2000, 3000]).cast(pa.timestamp("ns")), pl.Datetime("us")),
        (pa.array([1, 2, 3]).cast(pa.timestamp("us", "Mars/Base")), pl.Datetime("us", "UTC")),
        (pa.array([[1], [2], [3]]), pl.List(pl.Float32)),
        (pa.array([[1], [2], [3]]), pl.Array(pl.Float32, 1)),
        (pa.array([{"a": 1}] * 3), pl.Struct({"a": pl.Float64})),
    ],
)
def test_a_value_that_the_contracts_type_holds_exactly_is_of_that_type(
    values: pa.Array, dtype: Any
) -> None:
    report = judged(pandera.DataFrameSchema({"x": column(dtype)}), x=values)
    assert (report.broken, failing(report)) == ([], {})


@pytest.mark.parametrize(
    ("values", "dtype", "problem"),
    [
        (pa.array([1, 2**53 + 1, 3]), float, "'x' holds 9007199254740993, which"),
        (pa.array([1.5, 1e39, 2]), pl.Float32, "'x' holds 1e[+]39, which"),
        (pa.array([1.0, 2.0, 3.0]), int, "'x' has type Float64, the contract says Int64"),
        (pa.array(["1", "2", "3"]), int, "'x' has type String, the contract says Int64"),
        (pa.array([1, 2, 3]).cast(pa.timestamp("us")), pl.Datetime("us", "UTC"), "'x' has type"),
        (pa.array([1, 2, 3]).cast(pa.timestamp("ns")), pl.Datetime("us"), "'x' holds 1970-01-01"),
    ],
)
def test_any_other_value_holds_the_batch_and_is_named(
    values: pa.Array, dtype: Any, problem: str
) -> None:
    report = judged(pandera.DataFrameSchema({"x": column(dtype)}), x=values)
    assert len(report.broken) == 1
    assert re.search(problem, report.broken[0])


def test_nulls_are_of_every_type() -> None:
    options = {"nullable": True}
    schema = pandera.DataFrameSchema({"x": column(str, **options), "y": column(float)})
    report = judged(schema, x=pa.nulls(3), y=pa.nulls(3))
    assert (report.broken, failing(report)) == ([], {"y.not_null": IDS})


NAMES = ["^v_1$", "^w$", "*", "^v", "v$", "a.b", "\\d"]


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_is_run_on_the_column_that_it_names(name: str) -> None:
    check = pandera.Check.ge(0)
    each = pandera.Check(lambda value: value >= 0, element_wise=True, name="each")
    schema = pandera.DataFrameSchema({name: column(int, check, each, unique=True)})
    others = {"v_1": [5, -5, -5], "w": [5, -5, -5]}
    report = judged(schema, **others, **{name: [-1, 2, 2]})
    assert report.broken == []
    assert failing(report) == {
        f"{name}.greater_than_or_equal_to": ["a"],
        f"{name}.each": ["a"],
        f"{name}.unique": ["b", "c"],
    }
    schema = pandera.DataFrameSchema({"w": column(int)}, unique=[name, "w"])
    report = judged(schema, w=[1, 1, 1], **{name: [2, 2, 3]})
    assert failing(report) == {f"frame.unique({name},w)": ["a", "b"]}


def test_a_pattern_meets_columns_whose_names_are_patterns() -> None:
    schema = pandera.DataFrameSchema({"^.*v.*$": column(int, pandera.Check.ge(0))})
    report = judged(schema, **{"^.*v.*$": [-1, 1, 1], "^v_1$": [1, -1, 1], "v": [1, 1, -1]})
    assert sorted(failing(report)) == [
        "^.*v.*$.greater_than_or_equal_to",
        "^v_1$.greater_than_or_equal_to",
        "v.greater_than_or_equal_to",
    ]


TWINS = pa.StructArray.from_arrays([pa.array([1] * 3), pa.array([2] * 3)], ["a", "a"])
LONG = pa.array([decimal.Decimal("1" * 50)] * 3, pa.decimal256(60, 2))


@pytest.mark.parametrize("odd", [TWINS, LONG])
def test_what_polars_cannot_hold_holds_the_batch_where_a_rule_would_read_it(odd: pa.Array) -> None:
    whole = pandera.Check(lambda data: data.lazyframe.select(pl.col("id").is_not_null()))
    assert judged(pandera.DataFrameSchema({"id": column(str)}), odd=odd).broken == []
    for schema in (
        pandera.DataFrameSchema({"id": column(str)}, checks=whole),
        pandera.DataFrameSchema({"odd": column(int)}),
        pandera.DataFrameSchema({"id": column(str)}, unique=["id", "odd"]),
    ):
        report = judged(schema, odd=odd)
        assert report.broken
        assert "odd" in " ".join(report.broken)


def test_failing_values_are_shown_whatever_they_are() -> None:
    def never(data: Any) -> Any:
        return data.lazyframe.select(pl.lit(False).repeat_by(3).explode())

    for values in (
        pa.array([1577836800123456789] * 3).cast(pa.timestamp("ns")),
        pa.array([253402300800000000] * 3).cast(pa.timestamp("us")),
        pa.array([2**30] * 3, pa.int32()).cast(pa.date32()),
        pa.array([[1577836800123456789]] * 3).cast(pa.list_(pa.timestamp("ns"))),
    ):
        check = pandera.Check(never, name="never")
        report = judged(pandera.DataFrameSchema({"x": pandera.Column(checks=check)}), x=values)
        assert failing(report) == {"x.never": IDS}
        assert all(report.failures["value"].to_pylist())


def test_parts_that_are_judged_one_by_one_are_one_frame_as_if_they_came_together() -> None:
    """Also where a later part does not fit the contract's type, which earlier ones have."""
    types = {"n": pa.float64(), "^w$": pa.float64(), "s": pa.string()}
    parts = [
        pa.record_batch({"n": [n], "^w$": [n], "s": [str(n)], "left": [n]})
        for n in (1, 2**53 + 1, 3)
    ]
    parts = [part.select(["n", "^w$", "s"]) for part in parts]
    whole = make_frame(parts, types, kept=types)
    joined = join_frames([make_frame([part], types, kept=types) for part in parts])
    assert joined.data.equals(whole.data)
    assert joined.data.schema == whole.data.schema
    assert (joined.misfits, joined.left_out) == (whole.misfits, whole.left_out)
    assert joined.select(["^w$"]).data.columns == ["^w$"]
    fits = join_frames([make_frame([part], types) for part in (parts[0], parts[2])])
    assert fits.data.schema["n"] == pl.Float64
