"""Rules in YAML: each kind, their mistakes with file and line, and the expressions."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from many import examples

from lazaretto.contract import Known, evaluate, load_contract
from lazaretto.contract import _run as run_module
from lazaretto.contract._expression import FUNCTIONS, ExpressionError, read_expression
from lazaretto.errors import PolicyError, UsageError
from lazaretto.policy import Columns, Policy

NAN, INF = float("nan"), float("inf")
NOON = dt.datetime(2026, 3, 1, 12)
ARRIVED = Known(NOON.replace(tzinfo=dt.UTC))


def judged(rules: dict[str, Any], known: Known | None = ARRIVED, **columns: Any) -> Any:
    return evaluate(pa.table(columns), load_contract({"rules": rules}), Columns(), known=known)


def failing(rule: dict[str, Any], values: Any) -> list[int]:
    """Positions that one rule about a column fails."""
    report = judged({"columns": {"x": {"nullable": True, **rule}}}, x=values)
    assert report.broken == []
    return report.failures["position"].to_pylist()


DAYS = [dt.date(2026, 1, 1), dt.date(2026, 2, 1), None]
TIMES = pa.array([NOON, NOON - dt.timedelta(days=9)], pa.timestamp("ns", "Europe/Berlin"))


@pytest.mark.parametrize(
    ("rule", "values", "expected"),
    [
        ({"nullable": False}, [1.0, None, NAN], [1, 2]),
        ({"min": 0}, [0, -1, None], [1]),
        ({"min": 0}, [0.0, -INF, NAN, INF], [1, 2]),
        ({"max": 5, "above": 0}, [0, 5, 6], [0, 2]),
        ({"below": 1.5}, [1, 2], [1]),
        ({"min": dt.date(2026, 1, 15)}, DAYS, [0]),
        ({"min": "2026-02-25"}, TIMES, [1]),
        ({"one_of": ["a", "b"]}, ["a", "c", None], [1]),
        ({"one_of": [1, 2]}, [1, 3], [1]),
        ({"one_of": [True]}, [True, False], [1]),
        ({"none_of": ["", "n/a"]}, ["", "x", "n/a"], [0, 2]),
        ({"none_of": [dt.date(2026, 2, 1)]}, DAYS, [1]),
        ({"regex": "a+|b"}, ["a", "aab", "b", "xb", "a\n"], [1, 3, 4]),
        ({"length": {"max": 2}}, ["", "éé", "abc"], [2]),
        ({"length": {"min": 1}}, [[], [1], None], [0]),
        ({"unique": True}, ["a", "b", "a", None, None], [0, 2]),
        ({"unique": True}, pa.array([1, 2, 1], pa.uint64()), [0, 2]),
        ({"finite": True}, [0.0, NAN, INF, None], [1, 2]),
        ({"finite": True}, [[1.0], [NAN], [None], [], None], [1, 2]),
        ({"finite": True}, pa.array([[1.0, INF]], pa.list_(pa.float32(), 2)), [0]),
        ({"width": 2}, [[1.0, 2.0], [1.0]], [1]),
        ({"width": 2}, pa.array([[1.0], None], pa.list_(pa.float32(), 1)), [0]),
        ({"increasing": True}, [1, 1, 3, 2, None, 2, 1], [3, 6]),
        ({"increasing": "strictly"}, [1, 1, 2], [1]),
        ({"increasing": True}, TIMES, [1]),
        ({"regex": "a", "min": 3, "length": {"min": 1}}, pa.nulls(3), []),
        ({"nullable": False}, pa.nulls(2), [0, 1]),
    ],
)
def test_a_rule_fails_these_records_and_no_others(
    rule: dict[str, Any], values: Any, expected: list[int]
) -> None:
    assert failing(rule, values) == expected


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("text", ["a"]), ("integer", [1]), ("number", [1.5]), ("number", [1]),
        ("boolean", [True]), ("date", DAYS), ("datetime", [NOON]), ("vector", [[1.0]]),
        ("list", [["a"]]), ("struct", [{"a": 1}]), ("binary", [b"a"]), ("text", pa.nulls(1)),
    ],
)  # fmt: skip
def test_a_type_takes_its_values_and_another_holds_the_batch(kind: str, values: Any) -> None:
    rules = {"columns": {"x": {"type": kind, "nullable": True}}}
    assert judged(rules, x=values).broken == []
    other = [1] if kind in ("text", "boolean", "binary") else ["a"]
    (message,) = judged(rules, x=other).broken
    assert message.endswith(f"the contract says {kind}")


def test_a_missing_column_holds_the_batch_unless_it_may_be_missing() -> None:
    rules = {"columns": {"x": {"min": 1}, "y": {"required": False, "min": 1}}}
    report = judged(rules, z=[1])
    assert report.broken == ["there is no column 'x', which the contract requires"]
    report = judged({"records": ["a > b"]}, a=[1])
    assert report.broken == ["rule records.a > b: there is no column 'b'"]


def test_rules_over_several_columns() -> None:
    rules = {
        "records": ["end > start", {"that": "a + b <= 3", "name": "sum", "severity": "warning"}],
        "unique": [["a", "b"]],
    }
    report = judged(rules, a=[1, 1, 3], b=[2, 2, 1], start=[NOON] * 3, end=[NOON, None, NOON])
    found = [(row["position"], row["rule"]) for row in report.failures.to_pylist()]
    assert found == [
        (0, "records.end > start"), (0, "unique(a,b)"), (1, "unique(a,b)"),
        (2, "records.end > start"),
    ]  # fmt: skip
    assert report.flags.to_pylist() == [{"position": 2, "rule": "records.sum"}]


def test_rules_about_the_batch_hold_it_or_flag_all_of_it() -> None:
    rates = {"columns": {"x": {"rates": {"a": 0.5, "b": 0.5}, "tolerance": 0.2}}}
    assert judged(rates, x=["a", "b", "a"]).broken == []
    (message,) = judged(rates, x=["a"] * 8 + ["b", "c"]).broken
    assert "a 80.0% instead of 50.0%" in message
    assert judged(rates, x=pa.nulls(2, pa.string())).broken[0].endswith("it has no values")
    (message,) = judged({"count": {"min": 2, "max": 3}}, x=[1]).broken
    assert message == "a delivery must have 2 to 3 records: it has 1"
    report = judged({"count": {"min": 2, "severity": "warning"}}, x=[1])
    assert (report.broken, report.flagged_rows) == ([], 1)


def test_a_time_from_the_future_makes_a_delivery_no_fresher() -> None:
    rules = {"columns": {"at": {"newest": "24h"}}}
    old = NOON - dt.timedelta(hours=25)
    assert judged(rules, at=[NOON - dt.timedelta(hours=23), old]).broken == []
    (message,) = judged(rules, at=[old, NOON + dt.timedelta(days=900)]).broken
    assert "the newest is 2026-02-28 11:00 UTC" in message
    (message,) = judged(rules, at=[NOON + dt.timedelta(days=1)]).broken
    assert message.endswith("it has no time before the delivery arrived")


def test_what_is_not_known_is_not_passed_over() -> None:
    rules = {
        "columns": {"x": {"newest": "1h", "exists_in": {"dataset": "d", "column": "c"}}},
        "unique": [{"columns": ["x"], "across_batches": True}],
        "volume": {},
    }
    broken = judged(rules, known=None, x=[NOON]).broken
    assert len(broken) == 4
    assert all("was not judged: it compares with" in text for text in broken)


def test_a_rule_that_cannot_be_asked_of_a_column_holds_the_batch_and_the_others_run() -> None:
    rules = {"columns": {"x": {"regex": "a"}, "y": {"max": 1}}, "records": ["x > 'a'"]}
    report = judged(rules, x=[1], y=[2])
    assert [row["rule"] for row in report.failures.to_pylist()] == ["y.max"]
    assert [text.split(" raised ")[0] for text in report.broken] == [
        "rule x.regex", "rule records.x > 'a'",
    ]  # fmt: skip


CHUNKED = {
    "columns": {
        "n": {"min": 0, "unique": True, "increasing": True},
        "t": {"nullable": True, "one_of": ["a", "b"], "rates": {"a": 0.5}, "tolerance": 0.3},
    },
    "records": [{"that": "n > 2 or t == 'a'", "severity": "warning"}],
    "unique": [["n", "t"]],
}


@given(
    st.lists(
        st.tuples(st.integers(-1, 6), st.none() | st.sampled_from("abc")), min_size=1, max_size=14
    ),
    st.integers(1, 4),
)
@settings(max_examples=examples(40), deadline=None)
def test_chunks_of_any_size_give_the_same_report(rows: list[Any], size: int) -> None:
    table = pa.table({"n": [n for n, _ in rows], "t": pa.array([t for _, t in rows], pa.string())})
    contract = load_contract({"rules": CHUNKED})
    whole = evaluate(table, contract, Columns())
    parts = pa.Table.from_batches(table.to_batches(max_chunksize=size))
    before, run_module.ROWS = run_module.ROWS, 1
    try:
        chunked = evaluate(parts, contract, Columns())
    finally:
        run_module.ROWS = before
    assert chunked.failures.equals(whole.failures)
    assert chunked.flags.equals(whole.flags)
    assert (chunked.rules, chunked.broken) == (whole.rules, whole.broken)


# Expressions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a > b", [True, False, None, False]),
        ("a > b or b == 2", [True, True, None, False]),
        ("not a > b and a is not null", [False, True, False, True]),
        ("a - 1 >= 2 * b - 1", [True, False, None, False]),
        ("a / b > 1.5", [True, False, None, False]),
        ("a in [1, -3]", [False, True, None, True]),
        ("t == 'x' or length(t) > 1", [True, None, True, False]),
        ("lower(t) == 'yy'", [False, None, True, False]),
        ("`odd name` != 1", [False, True, True, True]),
        ("f == f", [True, False, True, None]),
        ("f > 0", [True, False, False, None]),
        ("(a > b) == true", [True, False, None, False]),
        ("9223372036854775807 + a > 0", None),
    ],
)
def test_an_expression_means_what_it_says(text: str, expected: list[Any] | None) -> None:
    columns = {
        "a": [2, 1, None, -3],
        "b": [1, 2, 3, 0],
        "t": ["x", None, "YY", "z"],
        "odd name": [1, 2, 3, 4],
        "f": [1.0, NAN, -1.0, None],
    }
    if expected is None:
        expected = [True, True, None, True]
        text = text.replace("9223372036854775807", "big")
        columns["big"] = [2**63 - 1] * 4
    report = judged({"records": [text]}, **columns)
    assert report.broken == []
    failed = report.failures["position"].to_pylist()
    assert failed == [n for n, passes in enumerate(expected) if passes is False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1", "equality is written `==`"),
        ("a < b < c", "compare two things at a time"),
        ("1 < 2", "names no column"),
        ("a + 1", "is a value and no condition"),
        ("a and b + 1", "stand between conditions"),
        ("exec(a)", "there is no function 'exec'; there are abs"),
        ("a.__class__ == 1", "'.' at character 2 says nothing"),
        ("a >", "the end, where there should be a column or a value"),
        ("a > 1 b", "'b' at character 7"),
        ("a in b", "a list in brackets"),
        ("a in [b]", "a list holds numbers and texts"),
        ("a > 'x", "says nothing"),
        ("(" * 40 + "a > 1" + ")" * 40, "nested deeper"),
        ("not " * 40 + "a > 1", "nested deeper"),
        ("a > 1" + " or a > 1" * 100, "parts: split it"),
        ("a > " + "1" * 30, "too large"),
        ("a > 1" + " " * 1000, "more than 1000 characters"),
        ("a is b", "`null` after `is`"),
        ("", "the end, where there should be"),
    ],
)
def test_what_is_no_expression_says_where_and_why(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        read_expression(text)
    assert message in str(raised.value)


@given(st.text("ab1. ()[]'`\"<>=!+-*/,_:;@\\n\x00é", max_size=60) | st.text(max_size=40))
@settings(max_examples=examples(200), deadline=None)
def test_any_text_is_an_expression_or_a_mistake_and_nothing_else(text: str) -> None:
    try:
        found = read_expression(text)
    except ExpressionError:
        return
    assert found.columns


def test_no_function_reaches_beyond_values() -> None:
    assert set(FUNCTIONS) == {"abs", "length", "lower", "upper", "trim"}


# Mistakes

BROKEN = """\
version: 1
dataset: x
columns: {}
contract:
  rules:
    columns:
      a: {type: txt}
      b: {min: 3, max: 1}
      c: {severty: warning}
      d: {severity: warn}
      e: {severity: {regx: warning}}
      f: {regex: '['}
      g: {min: [1]}
      h: {length: {mn: 2}}
      i: {one_of: []}
      j: {newest: soon}
      k: {exists_in: {column: x}}
      l: {max: 99999999999999999999}
    records:
      - {that: a > b, nam: x}
    unique: [[a], {columns: []}]
    volum: {}
"""
SAID = """\
p.yaml:7: contract.rules.columns.a.type: Input should be 'text', 'integer', 'number', 'boolean', \
'date', 'datetime', 'vector', 'list', 'struct' or 'binary', not 'txt'
p.yaml:8: contract.rules.columns.b: min 3 is more than max 1: swap them
p.yaml:9: contract.rules.columns.c.severty: unknown key (did you mean 'severity'?)
p.yaml:10: contract.rules.columns.d.severity: Input should be 'error' or 'warning', not 'warn'
p.yaml:11: contract.rules.columns.e.severity: 'regx' is no rule; there are nullable, min, max, \
above, below, one_of, none_of, regex, length, unique, finite, width, exists_in, newest, \
increasing, rates
p.yaml:12: contract.rules.columns.f.regex: '[' is no regular expression: unterminated character \
set at position 0
p.yaml:13: contract.rules.columns.g.min: should be a number, a text, a date or a time
p.yaml:14: contract.rules.columns.h.length.mn: unknown key (did you mean 'min'?)
p.yaml:15: contract.rules.columns.i.one_of: List should have at least 1 item after validation, \
not 0: name one, or leave the key out
p.yaml:16: contract.rules.columns.j.newest: should be a time such as 90m, 24h or 7d, not 'soon'
p.yaml:17: contract.rules.columns.k.exists_in: says file or dataset, one of both
p.yaml:18: contract.rules.columns.l.max: is beyond 9007199254740991, up to which all programs read \
whole numbers alike
p.yaml:20: contract.rules.records.0.nam: unknown key (did you mean 'name'?)
p.yaml:21: contract.rules.unique.1.columns: List should have at least 1 item after validation, \
not 0: name one, or leave the key out
p.yaml:22: contract.rules.volum: unknown key (did you mean 'volume'?)"""


def test_every_mistake_in_rules_has_file_line_key_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(BROKEN)
    with pytest.raises(PolicyError) as raised:
        Policy.load("p.yaml")
    assert str(raised.value) == SAID


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            "columns: {a: {regex: '(?=x)'}}",
            r"p.yaml:5: contract.rules.columns.a.regex: .*look-around",
        ),
        ("records: ['a >']", r"p.yaml:5: contract.rules.records.0: 'a >': the end"),
        (
            "columns: {a: {exists_in: {file: none.csv, column: x}}}",
            r"none.csv cannot be read: No such file",
        ),
    ],
)
def test_mistakes_that_only_show_when_a_contract_is_loaded(
    tmp_path: Path, rules: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lazaretto.contract import contract_of

    monkeypatch.chdir(tmp_path)
    text = f"version: 1\ndataset: x\ncolumns: {{}}\ncontract:\n  rules: {{{rules}}}\n"
    Path("p.yaml").write_text(text)
    with pytest.raises(UsageError, match=message):
        contract_of(Policy.load("p.yaml"))


def test_a_file_of_rules_says_its_own_lines_and_comments_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("columns:\n  a: {min: 1}\n")
    first = load_contract({"rules": "r.yaml"}, base=tmp_path)
    (tmp_path / "r.yaml").write_text("# said by us\ncolumns:\n  a:\n    min: 1\n")
    again = load_contract({"rules": "r.yaml"}, base=tmp_path)
    assert first is not None
    assert again is not None
    assert first.digest == again.digest
    (tmp_path / "r.yaml").write_text("columns:\n  a:\n    mn: 1\n")
    with pytest.raises(PolicyError, match=r"r.yaml:3: columns.a.mn: unknown key .*'min'"):
        load_contract({"rules": "r.yaml"}, base=tmp_path)
    with pytest.raises(UsageError, match="says rules and odcs; a contract says exactly one"):
        load_contract({"rules": "r.yaml", "odcs": "o.yaml"}, base=tmp_path)


def test_a_pandera_contract_in_a_policy_keeps_its_digest() -> None:
    """Policies from before there were other forms say the same."""
    place = {"version": 1, "dataset": "x", "columns": {}, "contract": {"pandera": "a.py:M"}}
    assert '"contract":{"pandera":"a.py:M"}' in Policy.model_validate(place).says
    assert '"contract":"a.py:M"' in Policy.model_validate(place | {"contract": "a.py:M"}).says


def test_yaml_rules_need_no_pandera() -> None:
    import subprocess
    import sys

    code = (
        "import sys, pyarrow as pa; from lazaretto.contract import load_contract, evaluate;"
        "from lazaretto.policy import Columns;"
        "evaluate(pa.table({'a': [1]}), load_contract({'rules': {'records': ['a > 0']}}),"
        " Columns()); sys.exit('pandera' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_values_are_shown_as_python_writes_them() -> None:
    from lazaretto.contract._report import as_text

    numbers = [0.0, -0.0, NAN, INF, 1e15, 1e16, 1e-3, 1e-5, 0.1, 1 / 3, None, 123456789.125]
    shown = [None if value is None else repr(value) for value in numbers]
    assert as_text(pa.array(numbers)).to_pylist() == shown
    small = pl.Series(numbers, dtype=pl.Float32)
    assert as_text(small.to_arrow()).to_pylist() == [
        None if value is None else repr(value) for value in small.to_list()
    ]
