"""The same verdict as pandera's own, and the right one where pandera has a trap."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

import pandera.polars as pandera
import polars as pl
import pyarrow as pa
import pytest
from pandera.config import config_context

from lazaretto.contract import Contract, evaluate, load_contract
from lazaretto.contract import _run as run_module
from lazaretto.errors import UsageError
from lazaretto.policy import Columns

if TYPE_CHECKING:
    from pathlib import Path

PAIRS = 520
TEXTS = ["", "a", "ab", "abc", "b", "aa", "A", "é", "a\n"]
FLOATS = [0.0, -0.0, 1.0, -1.5, 2.0, float("inf"), float("-inf"), float("nan"), 1e300]


def number_check(rng: random.Random, values: list[Any]) -> pandera.Check:
    one, other = sorted(
        rng.sample([*(value for value in values if value != 0), type(values[0])(0)], k=2)
    )
    makers = [
        lambda: pandera.Check.ge(one),
        lambda: pandera.Check.gt(one),
        lambda: pandera.Check.le(one),
        lambda: pandera.Check.lt(one),
        lambda: pandera.Check.eq(one),
        lambda: pandera.Check.ne(one),
        lambda: pandera.Check.in_range(one, other),
        lambda: pandera.Check.in_range(one, other, include_min=False, include_max=False),
        lambda: pandera.Check.isin([one, other]),
        lambda: pandera.Check.notin([one, other]),
        lambda: pandera.Check(lambda d: d.lazyframe.select(pl.col(d.key) > one), name="own"),
        lambda: pandera.Check(lambda value: value != one, element_wise=True, name="single"),
        lambda: pandera.Check(
            lambda d: d.lazyframe.select(pl.col(d.key) >= pl.col(d.key).mean()), name="mean"
        ),
        lambda: pandera.Check(lambda d: d.lazyframe.select(pl.col("nowhere")), name="raises"),
    ]
    return rng.choice(makers)()


def text_check(rng: random.Random) -> pandera.Check:
    makers = [
        lambda: pandera.Check.isin(rng.sample(TEXTS, 3)),
        lambda: pandera.Check.notin(rng.sample(TEXTS, 2)),
        lambda: pandera.Check.str_matches(rng.choice(["a", "^a+$", "[ab]*", "b|c"])),
        lambda: pandera.Check.str_contains(rng.choice(["a", "b+", "^a"])),
        lambda: pandera.Check.str_startswith("a"),
        lambda: pandera.Check.str_endswith("b"),
        lambda: pandera.Check.str_length(rng.randint(0, 1), rng.randint(1, 3)),
        lambda: pandera.Check.eq("a"),
        lambda: pandera.Check.ne("ab"),
    ]
    return rng.choice(makers)()


def made(rng: random.Random) -> tuple[pandera.DataFrameSchema, pa.Table]:
    """A schema, and a table that it can judge."""
    rows = rng.randint(1, 12)
    columns: dict[str, Any] = {}
    data: dict[str, pa.Array] = {}
    for number in range(rng.randint(1, 3)):
        name, kind = f"c{number}", rng.choice(["int", "float", "text"])
        nulls = rng.random() < 0.5
        values = {"int": list(range(-2, 3)), "float": FLOATS, "text": TEXTS}[kind]
        bounds = [value for value in values if not math.isnan(value)] if kind == "float" else values
        checks = [
            text_check(rng) if kind == "text" else number_check(rng, bounds)
            for _ in range(rng.randint(0, 3))
        ]
        # Pandera's own checks are told apart by their names.
        checks = list({check.name: check for check in checks}.values())
        columns[name] = pandera.Column(
            {"int": pl.Int64, "float": pl.Float64, "text": pl.String}[kind],
            checks,
            nullable=rng.random() < 0.5,
            unique=rng.random() < 0.3,
        )
        given = [None if nulls and rng.random() < 0.2 else rng.choice(values) for _ in range(rows)]
        types = {"int": pa.int64(), "float": pa.float64(), "text": pa.string()}
        data[name] = pa.array(given, types[kind])
    names = list(columns)
    frame_checks = []
    if len(names) > 1 and rng.random() < 0.5:
        one, other = names[:2]
        frame_checks = [
            pandera.Check(
                lambda d: d.lazyframe.select(pl.col(one).hash() % 2 == pl.col(other).hash() % 2),
                name="pair",
            )
        ]
    unique = names[:2] if len(names) > 1 and rng.random() < 0.3 else None
    return pandera.DataFrameSchema(columns, frame_checks, unique=unique), pa.table(data)


def by_pandera(schema: pandera.DataFrameSchema, table: pa.Table) -> set[tuple[int | None, str]]:
    """Rows and rules of pandera's own verdict; no row of a rule that raised."""
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    try:
        schema.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        found = set()
        for case in errors.failure_cases.iter_rows(named=True):
            check, column = str(case["check"]), case["column"]
            if check == "not_nullable":
                rule = f"{column}.not_null"
            elif check == "field_uniqueness":
                rule = f"{column}.unique"
            elif check == "multiple_fields_uniqueness":
                rule = f"frame.unique({','.join(schema.unique)})"
            elif case["schema_context"] == "DataFrameSchema":
                rule = "frame.pair"
            else:
                rule = f"{column}.{check.partition('(')[0]}"
            found.add((case["index"], rule))
        return found
    return set()


def by_us(schema: pandera.DataFrameSchema, table: pa.Table) -> set[tuple[int | None, str]]:
    report = evaluate(table, Contract("made", schema), Columns())
    assert all(" raised " in text for text in report.broken)
    broken = {(None, text.split()[1]) for text in report.broken}
    return broken | {(row["position"], row["rule"]) for row in report.failures.to_pylist()}


def test_rows_and_rules_are_those_of_pandera_on_generated_schemas_and_tables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At least 500 pairs; every other one is judged in chunks of few records."""
    some = 0
    for seed in range(PAIRS):
        schema, table = made(random.Random(seed))  # noqa: S311  no secret
        theirs = by_pandera(schema, table)
        with monkeypatch.context() as small:
            if seed % 2:
                small.setattr(run_module, "ROWS", 3)
                table = pa.Table.from_batches(table.to_batches(max_chunksize=2))
            assert by_us(schema, table) == theirs, seed
        some += bool(theirs)
    assert some > PAIRS / 2


# Traps of pandera 0.35: each shows what pandera does, and what is right here.


def positions(report: Any) -> list[tuple[int, str]]:
    return [(row["position"], row["rule"]) for row in report.failures.to_pylist()]


def judged(schema: pandera.DataFrameSchema, **columns: Any) -> Any:
    return evaluate(pa.table(columns), Contract("trap", schema), Columns())


def test_a_rule_over_whole_records_makes_no_dict_per_failing_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pandera lists failing records of such rules in Python, which takes seconds and gigabytes."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("failure cases were made")

    monkeypatch.setattr(pandera.errors.SchemaErrors, "__init__", refuse)
    monkeypatch.setattr(pl.DataFrame, "rows", refuse)
    check = pandera.Check(lambda d: d.lazyframe.select(pl.col("a") < pl.col("b")), name="less")
    schema = pandera.DataFrameSchema({"a": pandera.Column(int), "b": pandera.Column(int)}, check)
    report = judged(schema, a=[2] * 1000, b=[1] * 999 + [3])
    assert report.failures["position"].to_pylist() == list(range(999))


def test_a_frame_that_is_not_computed_yet_is_judged() -> None:
    """Pandera looks at no value of a lazy frame by default, and says nothing."""
    schema = pandera.DataFrameSchema({"a": pandera.Column(int, pandera.Check.ge(0))})
    schema.validate(pl.LazyFrame({"a": [-1]})).collect()
    assert positions(judged(schema, a=[-1])) == [(0, "a.greater_than_or_equal_to")]


def test_of_several_sets_of_unique_columns_none_is_left_out() -> None:
    """Pandera stops at the first that is broken."""
    columns = {name: pandera.Column(int) for name in "abc"}
    schema = pandera.DataFrameSchema(columns, unique=["a", "b"])
    schema.unique = [["a", "b"], ["b", "c"]]  # type: ignore[assignment]
    report = judged(schema, a=[1, 1, 2], b=[1, 1, 1], c=[1, 1, 1])
    assert {rule for _, rule in positions(report)} == {"frame.unique(a,b)", "frame.unique(b,c)"}


@pytest.mark.parametrize("ignore_na", [True, False])
def test_a_rule_that_raises_never_passes(ignore_na: bool) -> None:
    """Pandera gives one failure without a row, which looks like one bad record."""

    def fail(_: Any) -> Any:
        raise ValueError("no")

    check = pandera.Check(fail, name="mine", ignore_na=ignore_na)
    report = judged(pandera.DataFrameSchema({"a": pandera.Column(int, check)}), a=[1])
    assert report.broken == ["rule a.mine raised ValueError: no"]


def test_a_warning_keeps_its_records() -> None:
    """Pandera's own warnings say that something failed, and not which records."""
    check = pandera.Check.ge(0, raise_warning=True)
    report = judged(pandera.DataFrameSchema({"a": pandera.Column(int, check)}), a=[1, -1])
    assert report.flags.to_pylist() == [{"position": 1, "rule": "a.greater_than_or_equal_to"}]


def test_nan_and_infinity_are_stopped_by_the_rule_that_is_made_for_it() -> None:
    """NaN passes `ge(0)` where values may be missing, and infinity always: here as with pandera."""
    values = [float("nan"), float("inf"), None, 1.0]
    schema = pandera.DataFrameSchema(
        {"a": pandera.Column(float, pandera.Check.ge(0), nullable=True)}
    )
    assert positions(judged(schema, a=values)) == []
    rules = {"columns": {"a": {"min": 0, "finite": True, "nullable": True}}}
    contract = load_contract({"rules": rules})
    found = positions(evaluate(pa.table({"a": values}), contract, Columns()))
    assert found == [(0, "a.min"), (0, "a.finite"), (1, "a.finite")]


def test_pandera_s_other_engine_is_never_used() -> None:
    """It loses the row of a failure."""
    schema = pandera.DataFrameSchema({"a": pandera.Column(int, pandera.Check.ge(0))})
    with config_context(use_narwhals_backend=True):
        assert positions(judged(schema, a=[1, -1])) == [(1, "a.greater_than_or_equal_to")]


def test_a_check_that_only_has_the_name_of_one_of_pandera_s_sees_all_records(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_module, "ROWS", 1)
    own = pandera.Check(
        lambda d: d.lazyframe.select(pl.col(d.key) == pl.col(d.key).max()), name="isin"
    )
    schema = pandera.DataFrameSchema({"a": pandera.Column(int, own)})
    table = pa.Table.from_batches(pa.table({"a": [1, 2]}).to_batches(max_chunksize=1))
    found = positions(evaluate(table, Contract("own", schema), Columns()))
    assert found == [(0, "a.isin")]


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"severity": "warn"}, "there is no severity 'warn': write 'error' or 'warning'"),
        ({"checks": {"greater_than": "no"}}, "there is no severity 'no'"),
        ({"checks": {"gt": "warning"}}, "names a check 'gt', and there are ['greater_than'"),
        ({"sev": "warning"}, "has 'sev'; it is a dict with severity and checks"),
        ("warning", "it is a dict with severity and checks"),
    ],
)
def test_a_severity_that_nobody_knows_is_a_mistake_when_the_contract_is_loaded(
    tmp_path: Path, metadata: Any, message: str
) -> None:
    (tmp_path / "c.py").write_text(
        "import pandera.polars as pa\n"
        "M = pa.DataFrameSchema({'x': pa.Column(int, pa.Check.gt(0), "
        f"metadata={{'lazaretto': {metadata!r}}})}})\n"
    )
    with pytest.raises(UsageError) as raised:
        load_contract("c.py:M", base=tmp_path)
    assert message in str(raised.value)


def test_a_severity_may_be_of_one_check_alone_and_of_rules_over_records() -> None:
    column = pandera.Column(
        int, pandera.Check.gt(0), metadata={"lazaretto": {"checks": {"greater_than": "warning"}}}
    )
    pair = pandera.Check(lambda d: d.lazyframe.select(pl.col("a") != 1), name="pair")
    metadata = {"lazaretto": {"checks": {"pair": "warning"}}}
    schema = pandera.DataFrameSchema({"a": column}, pair, metadata=metadata)
    report = judged(schema, a=[0, 1, None])
    assert positions(report) == [(2, "a.not_null")]
    assert [(row["position"], row["rule"]) for row in report.flags.to_pylist()] == [
        (0, "a.greater_than"),
        (1, "frame.pair"),
    ]
