# ruff: noqa: N805  pandera's checks are class methods
"""Contracts: every failing record is found, with why; what cannot be judged holds the batch."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pandera.polars as pandera
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from many import examples

from lazaretto.batch import open_batch
from lazaretto.contract import Contract, evaluate, load_contract
from lazaretto.contract import _report as report_module
from lazaretto.errors import UsageError
from lazaretto.policy import Columns

if TYPE_CHECKING:
    from pathlib import Path

NO_COLUMNS = Columns()
BY_ID = Columns(record_id="id")


def contract(model: Any) -> Contract:
    return Contract("test:Model", model.to_schema())


def found(report: Any) -> dict[str, list[int]]:
    """Positions by rule."""
    result: dict[str, list[int]] = {}
    for row in report.failures.to_pylist():
        result.setdefault(row["rule"], []).append(row["position"])
    return result


class Review(pandera.DataFrameModel):
    id: str = pandera.Field(unique=True)
    stars: int = pandera.Field(ge=1, le=5)
    score: float = pandera.Field(nullable=True, ge=0)
    text: str = pandera.Field(str_length={"min_value": 1})

    @pandera.check("text", error="no markup in text")
    def no_markup(cls, data: Any) -> Any:
        return data.lazyframe.select(~pl.col(data.key).str.contains("<", literal=True))

    @pandera.dataframe_check(error="five stars need a positive score")
    def stars_match_score(cls, data: Any) -> Any:
        return data.lazyframe.select((pl.col("stars") < 5) | (pl.col("score") > 0))


def reviews(**changes: Any) -> pa.Table:
    columns = {
        "id": ["a", "b", "c", "d"],
        "stars": [1, 5, 3, 2],
        "score": [0.5, 1.0, None, 0.0],
        "text": ["fine", "good", "ok", "bad"],
    }
    return pa.table({**columns, **changes})


def test_a_batch_that_keeps_its_contract_has_no_failures() -> None:
    report = evaluate(reviews(), contract(Review), BY_ID)
    assert (report.rows, report.failing_rows, report.broken, report.rules) == (4, 0, [], [])


def test_every_failing_record_is_found_with_rule_column_text_and_value() -> None:
    table = reviews(
        stars=[0, 5, 3, 9], score=[0.5, -1.0, None, 0.0], text=["fine", "<b>", "", "bad"]
    )
    report = evaluate(table, contract(Review), BY_ID)
    rows = report.failures.to_pylist()
    assert [(r["record_id"], r["position"], r["rule"]) for r in rows] == [
        ("a", 0, "stars.greater_than_or_equal_to"),
        ("b", 1, "score.greater_than_or_equal_to"),
        ("b", 1, "text.no_markup"),
        ("b", 1, "frame.stars_match_score"),
        ("c", 2, "text.str_length"),
        ("d", 3, "stars.less_than_or_equal_to"),
        ("d", 3, "frame.stars_match_score"),
    ]
    assert rows[0] == {
        "record_id": "a",
        "position": 0,
        "rule": "stars.greater_than_or_equal_to",
        "column": "stars",
        "text": "stars: greater_than_or_equal_to(1)",
        "value": "0",
    }
    assert rows[2]["text"] == "text: no markup in text"
    assert (rows[3]["column"], rows[3]["text"]) == (None, "five stars need a positive score")
    assert report.failing_ids == ["a", "b", "c", "d"]
    assert report.broken == []


def test_nulls_fail_only_where_the_contract_forbids_them() -> None:
    report = evaluate(reviews(stars=[1, None, 3, 2]), contract(Review), BY_ID)
    assert found(report) == {"stars.not_null": [1]}
    assert report.rules[0].text == "stars must not be null"


def test_nan_is_null_to_a_column_that_must_not_be_null() -> None:
    class M(pandera.DataFrameModel):
        x: float

    table = pa.table({"x": [1.0, float("nan"), None, float("inf")]})
    assert found(evaluate(table, contract(M), NO_COLUMNS)) == {"x.not_null": [1, 2]}


def test_wrong_type_and_missing_column_hold_the_batch() -> None:
    table = reviews(stars=["1", "5", "3", "2"]).drop_columns(["text"])
    report = evaluate(table, contract(Review), BY_ID)
    assert report.broken[:2] == [
        "column 'stars' has type String, the contract says Int64",
        "there is no column 'text', which the contract requires",
    ]


def test_every_duplicate_is_found_in_one_column_and_in_several_sets_of_columns() -> None:
    class M(pandera.DataFrameModel):
        a: int = pandera.Field(unique=True)
        b: int
        c: int

        class Config:
            unique = ("b", "c")

    schema = M.to_schema()
    schema.unique = [["b", "c"], ["a", "c"]]
    table = pa.table({"a": [1, 1, 2, 3], "b": [1, 2, 2, 2], "c": [5, 5, 5, 6]})
    report = evaluate(table, Contract("m", schema), NO_COLUMNS)
    assert found(report) == {
        "a.unique": [0, 1],
        "frame.unique(b,c)": [1, 2],
        "frame.unique(a,c)": [0, 1],
    }


def test_a_rule_that_raises_holds_the_batch_and_the_others_still_run() -> None:
    class M(pandera.DataFrameModel):
        x: int = pandera.Field(ge=0)

        @pandera.check("x")
        def broken(cls, data: Any) -> Any:
            raise ValueError("no such thing")

        @pandera.check("x")
        def wrong_column(cls, data: Any) -> Any:
            return data.lazyframe.select(pl.col("nowhere"))

        @pandera.check("x", ignore_na=False)
        def number_not_bool(cls, data: Any) -> Any:
            return data.lazyframe.select(pl.col("x"))

        @pandera.check("x")
        def half(cls, data: Any) -> Any:
            return data.lazyframe.select(pl.col("x").head(2) > 0)

    report = evaluate(pa.table({"x": [1, -1, 2]}), contract(M), NO_COLUMNS)
    assert found(report) == {"x.greater_than_or_equal_to": [1]}
    assert report.broken[0] == "rule x.broken raised ValueError: no such thing"
    assert report.broken[1].startswith("rule x.wrong_column raised ColumnNotFoundError")
    assert report.broken[2] == "rule x.number_not_bool returned Int64, not true or false"
    assert len(report.broken) == 4


def test_a_rule_about_the_whole_batch_holds_it() -> None:
    class M(pandera.DataFrameModel):
        x: int

        @pandera.check("x", error="mean must be at least 5")
        def mean(cls, data: Any) -> Any:
            return data.lazyframe.select(pl.col("x").mean() >= 5)

    assert evaluate(pa.table({"x": [9, 9]}), contract(M), NO_COLUMNS).broken == []
    assert evaluate(pa.table({"x": [1, 2]}), contract(M), NO_COLUMNS).broken == [
        "rule x.mean does not hold for the batch: x: mean must be at least 5"
    ]


def test_element_wise_checks_and_regex_columns_work() -> None:
    class M(pandera.DataFrameModel):
        pixels: int = pandera.Field(alias="p_.*", regex=True, le=16)

        @pandera.check("p_.*", regex=True, element_wise=True, error="even")
        def even(cls, value: int) -> bool:
            return value % 2 == 0

    table = pa.table({"p_1": [0, 17], "p_2": [3, 4]})
    assert found(evaluate(table, contract(M), NO_COLUMNS)) == {
        "p_1.less_than_or_equal_to": [1],
        "p_1.even": [1],
        "p_2.even": [0],
    }


def test_strict_and_ordered_contracts_hold_batches_with_other_columns() -> None:
    class M(pandera.DataFrameModel):
        a: int
        b: int

        class Config:
            strict = True
            ordered = True

    assert evaluate(pa.table({"a": [1], "b": [1]}), contract(M), NO_COLUMNS).broken == []
    assert evaluate(pa.table({"b": [1], "a": [1], "x": [1]}), contract(M), NO_COLUMNS).broken == [
        "column 'x' is not in the contract, which is strict",
        "columns are out of order: ['b', 'a'], expected ['a', 'b']",
    ]


def test_a_warning_is_counted_and_holds_nothing() -> None:
    class M(pandera.DataFrameModel):
        x: int = pandera.Field(ge=0, metadata={"lazaretto": {"severity": "warning"}})
        y: int = pandera.Field(ge=0, raise_warning=True)

    report = evaluate(pa.table({"x": [-1, 1], "y": [-1, -1]}), contract(M), NO_COLUMNS)
    assert report.failing_rows == 0
    assert [(r.rule, r.failed) for r in report.rules] == [
        ("x.greater_than_or_equal_to", 1),
        ("y.greater_than_or_equal_to", 2),
    ]
    assert all(rule.warning for rule in report.rules)
    assert "(1 record, only a warning)" in report.rules[0].words


@given(
    st.lists(
        st.tuples(st.none() | st.integers(-2, 7), st.none() | st.sampled_from([-1.0, 0.0, 2.0])),
        min_size=1,
        max_size=20,
    )
)
@settings(max_examples=examples(60), deadline=None)
def test_same_failures_as_pandera_where_pandera_reports_rows(rows: list[tuple[Any, Any]]) -> None:
    class M(pandera.DataFrameModel):
        a: int = pandera.Field(ge=0, le=5, unique=True)
        b: float = pandera.Field(nullable=True, gt=-0.5)

    table = pa.table(
        {
            "a": pa.array([r[0] for r in rows], pa.int64()),
            "b": pa.array([r[1] for r in rows], pa.float64()),
        }
    )
    ours = {
        (r["column"], r["position"])
        for r in evaluate(table, contract(M), NO_COLUMNS).failures.to_pylist()
    }
    try:
        M.validate(pl.from_arrow(table), lazy=True)
        theirs = set()
    except pandera.errors.SchemaErrors as error:
        cases = error.failure_cases
        theirs = {
            (column, index)
            for column, index in cases.select("column", "index").iter_rows()
            if index is not None
        }
    # pandera gives no row index for nulls and duplicates; there our own columns are compared.
    nulls = {("a", i) for i, r in enumerate(rows) if r[0] is None}
    repeated = {("a", i) for i, r in enumerate(rows) if [x[0] for x in rows].count(r[0]) > 1}
    assert ours - nulls - repeated == theirs - nulls - repeated
    assert nulls | repeated <= ours


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["a", "b", "a"], {"record_id.unique": [0, 2]}),
        (["a", None, ""], {"record_id.present": [1, 2]}),
        (["a", "b\0", "c" * 600], {"record_id.usable": [1, 2]}),
        ([1, 1, 2], {"record_id.unique": [0, 1]}),
        ([None, None, 2], {"record_id.present": [0, 1]}),
    ],
)
def test_missing_and_repeated_record_ids_are_held_even_without_a_contract(
    ids: list[Any], expected: dict[str, list[int]]
) -> None:
    report = evaluate(pa.table({"id": ids}), None, BY_ID)
    assert found(report) == expected
    assert report.broken == []
    assert None not in report.failures.column("record_id").to_pylist()


def test_the_value_of_a_finding_carries_no_control_characters() -> None:
    report = evaluate(pa.table({"id": ["a", "b\0\u202eä"]}), None, BY_ID)
    assert report.failures.column("value").to_pylist() == ["b\\x00\\u202eä"]


def test_columns_that_the_policy_names_must_be_there() -> None:
    columns = Columns(record_id="id", label="label", embedding="e", payload=["text"])
    assert evaluate(pa.table({"x": [1]}), None, columns).broken == [
        "there is no column 'id', which the policy names as record_id",
        "there is no column 'label', which the policy names as label",
        "there is no column 'e', which the policy names as embedding",
        "there is no column 'text', which the policy names as payload",
    ]


def test_a_column_of_nested_junk_is_a_problem_of_the_batch() -> None:
    junk = pa.array([{"a": [1]}, {"a": [2]}])
    columns = Columns(record_id="junk", label="junk", embedding="junk")
    broken = evaluate(pa.table({"junk": junk}), None, columns).broken
    assert [text.split(" has type ")[0] for text in broken] == [
        "record id column 'junk'",
        "label column 'junk'",
        "embedding column 'junk'",
    ]


def test_a_record_without_a_label_is_held() -> None:
    table = pa.table({"label": ["a", None]})
    assert found(evaluate(table, None, Columns(label="label"))) == {"label.present": [1]}


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()])
def test_embeddings_must_be_finite_not_zero_there_and_of_one_width(kind: pa.DataType) -> None:
    values = [
        [1.0, 2.0],
        [float("nan"), 1.0],
        [float("inf"), 1.0],
        [0.0, -0.0],
        None,
        [1.0, 2.0, 3.0],
        [],
        [1.0, None],
    ]
    typed = [
        None if v is None else [None if x is None else np.float16(x) for x in v] for v in values
    ]
    table = pa.table({"e": pa.array(typed, pa.list_(pa.float16())).cast(pa.list_(kind))})
    report = evaluate(table, None, Columns(embedding="e"))
    assert found(report) == {
        "embedding.present": [4],
        "embedding.finite": [1, 2, 7],
        "embedding.nonzero": [3, 6],
        "embedding.width": [5, 6],
    }
    assert "e must have 2 numbers, like most of the batch" in {r.text for r in report.rules}


@pytest.mark.parametrize("values", [["x"], [1.0], [["x"]], [[[1.0]]]])
def test_embeddings_of_another_type_hold_the_batch(values: list[Any]) -> None:
    report = evaluate(pa.table({"e": values}), None, Columns(embedding="e"))
    assert len(report.broken) == 1
    assert report.broken[0].startswith("embedding column 'e' has type ")


def test_a_batch_on_disk_is_judged_like_a_table(tmp_path: Path) -> None:
    n = 70_000
    table = pa.table(
        {
            "id": [str(i) for i in range(n)],
            "e": pa.FixedSizeListArray.from_arrays(pa.array(np.ones(2 * n, np.float32)), 2),
            "x": np.arange(n),
        }
    )
    ids = ["0" if i == 66_000 else str(i) for i in range(n)]
    table = table.set_column(0, "id", pa.array(ids))
    pq.write_table(table, tmp_path / "b.parquet", row_group_size=999)

    class M(pandera.DataFrameModel):
        x: int = pandera.Field(lt=n - 1)

    report = evaluate(
        open_batch(tmp_path / "b.parquet"), contract(M), Columns(record_id="id", embedding="e")
    )
    assert report.rows == n
    assert found(report) == {"record_id.unique": [0, 66_000], "x.less_than": [n - 1]}


def test_too_many_failures_are_counted_and_hold_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_module, "MAX_FAILURES", 3)
    report = evaluate(pa.table({"label": pa.nulls(5, pa.string())}), None, Columns(label="label"))
    assert report.rules[0].failed == 5
    assert report.failures.num_rows == 3
    assert report.broken == ["more than 3 failures; the rest is counted, not listed"]


MODEL = """
import pandera.polars as pandera
class Model(pandera.DataFrameModel):
    x: int
"""


def test_a_contract_is_found_by_file_and_by_module(tmp_path: Path) -> None:
    (tmp_path / "lz_rules.py").write_text(MODEL)
    for spec in ("lz_rules.py:Model", "lz_rules:Model", {"pandera": "lz_rules.py:Model"}):
        loaded = load_contract(spec, base=tmp_path)
        assert loaded is not None
        assert list(loaded.schema.columns) == ["x"]
        assert loaded.digest == hashlib.sha256(MODEL.encode()).hexdigest()
    assert load_contract(None) is None


@pytest.mark.parametrize(
    ("spec", "source", "message"),
    [
        ("lz_bad.py", MODEL, "contract 'lz_bad.py': no model named"),
        ("nowhere.py:Model", MODEL, "no file"),
        ("lz_bad.py:Other", MODEL, "lz_bad.py has no 'Other'"),
        ("lz_bad.py:pandera", MODEL, "is not a pandera.polars DataFrameModel"),
        ("lz_bad.py:Model", "1/0", "raised ZeroDivisionError"),
        (
            "lz_no_such_module:Model",
            MODEL,
            "importing lz_no_such_module raised ModuleNotFoundError",
        ),
        ({"odd": "suite.json"}, MODEL, "'odd' is not supported"),
        ("lz_bad.py:Model", MODEL + "    class Config:\n        coerce = True\n", "uses coerce"),
        (
            "lz_bad.py:Model",
            MODEL + "    class Config:\n        drop_invalid_rows = True\n",
            "uses drop_invalid_rows, which changes data",
        ),
    ],
)
def test_what_is_no_contract_says_why(tmp_path: Path, spec: Any, source: str, message: str) -> None:
    (tmp_path / "lz_bad.py").write_text(source)
    with pytest.raises(UsageError) as raised:
        load_contract(spec, base=tmp_path)
    assert message in str(raised.value)
