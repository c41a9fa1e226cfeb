"""Whatever a value and whatever the type that it shall have: it stays what it is, or is refused."""

# ruff: noqa: PT017  either outcome is right, and each is looked at
from __future__ import annotations

import csv
import datetime as dt
import json
import math
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from decoding import decoded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from many import examples

from lazaretto.batch import Wanted
from lazaretto.batch._exact import InexactError, exact, widens
from lazaretto.batch._shown import as_python, shown
from lazaretto.batch._wanted import declared
from lazaretto.dataset.evolve import find_change
from lazaretto.dataset.schema import conform, storable
from lazaretto.errors import AdmissionRefusedError, DeliveryError
from lazaretto.policy import Evolve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_INT64 = st.integers(-(2**63), 2**63 - 1)
_EDGES = st.sampled_from([0, 1, -1, 2**24 + 1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 86_400_001])


def meaning(value: pa.Scalar) -> Any:  # noqa: PLR0911  one return per kind
    """What a value says, whatever type says it: two values are the same if this is."""
    kind, t = value.type, pa.types
    if not value.is_valid:
        return None
    if t.is_struct(kind):
        return {field.name: meaning(value[field.name]) for field in kind}
    if isinstance(value, pa.ListScalar):
        return [meaning(item) for item in value.values or ()]
    if t.is_timestamp(kind) or t.is_duration(kind):
        zone = "instant" if getattr(kind, "tz", None) is not None else str(kind)[:4]
        return zone, Fraction(value.cast(pa.int64()).as_py(), _PER_SECOND[kind.unit])
    if t.is_time(kind):
        number = value.cast(pa.int32() if kind.bit_width == 32 else pa.int64()).as_py()
        return "time", Fraction(number, _PER_SECOND[kind.unit])
    if t.is_date(kind):
        days = value.cast(pa.int32() if kind.bit_width == 32 else pa.int64()).as_py()
        return "date", Fraction(days) if kind.bit_width == 32 else Fraction(days, 86_400_000)
    if t.is_floating(kind):
        number = float(value.as_py())
        return Fraction(number) if math.isfinite(number) else str(number)
    return Fraction(value.as_py()) if t.is_integer(kind) or t.is_decimal(kind) else value.as_py()


def _numbers(kind: pa.DataType) -> st.SearchStrategy[Any]:
    bits = kind.bit_width
    signed = pa.types.is_signed_integer(kind)
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return st.integers(least, most) | _EDGES.filter(lambda n: least <= n <= most)


def _ticks(kind: pa.DataType, bits: int = 64) -> st.SearchStrategy[Any]:
    integers = _INT64 | _EDGES if bits == 64 else st.integers(-(2**31), 2**31 - 1)
    raw = pa.int64() if bits == 64 else pa.int32()
    return integers.map(lambda n: pa.scalar(n, raw).cast(kind))


def _decimals(digits: int, scale: int) -> st.SearchStrategy[Any]:
    most = 10**digits - 1
    return st.integers(-most, most).map(lambda n: Decimal(f"{n}E-{scale}"))


_VALUES: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    *((k, _numbers(k)) for k in (pa.int8(), pa.int32(), pa.int64(), pa.uint8(), pa.uint64())),
    (pa.float64(), st.floats() | st.sampled_from([0.1, 1.5, 1e39, 5e-324, 2.0**53])),
    (pa.float32(), st.floats(width=32)),
    (pa.float16(), st.floats(width=16).map(np.float16)),
    *((pa.timestamp(u, z), _ticks(pa.timestamp(u, z))) for u in _PER_SECOND for z in (None, "UTC")),
    (pa.timestamp("us", "Europe/Berlin"), _ticks(pa.timestamp("us", "Europe/Berlin"))),
    (pa.timestamp("us", "Mars/Base"), _ticks(pa.timestamp("us", "Mars/Base"))),
    (pa.date32(), _ticks(pa.date32(), 32)),
    (pa.date64(), _ticks(pa.date64())),
    (pa.decimal128(38, 2), _decimals(38, 2)),
    (pa.decimal128(5, 3), _decimals(5, 3)),
    (pa.decimal256(60, 2), _decimals(60, 2) | _decimals(20, 2)),
    (pa.bool_(), st.booleans()),
    (pa.string(), st.text(max_size=4)),
    (pa.large_string(), st.text(max_size=4)),
    (pa.binary(), st.binary(max_size=4)),
    (pa.binary(3), st.binary(min_size=3, max_size=3)),
    (pa.null(), st.none()),
    (pa.duration("us"), _ticks(pa.duration("us"))),
    (
        pa.time64("us"),
        st.integers(0, 86_399_999_999).map(
            lambda n: pa.scalar(n, pa.int64()).cast(pa.time64("us"))
        ),
    ),
]


@st.composite
def columns(draw: Callable[..., Any], depth: int = 1) -> pa.Array:
    """A column of one of all types, also of lists and records of them."""
    if depth and draw(st.integers(0, 3)) == 0:
        inner = draw(columns(depth - 1))
        count = len(inner)
        shape = draw(st.sampled_from(["list", "fixed", "struct", "map"]))
        if shape == "struct":
            return pa.StructArray.from_arrays([inner], ["a"])
        if shape == "fixed":
            return pa.FixedSizeListArray.from_arrays(inner, 1)
        offsets = pa.array(range(count + 1), pa.int32())
        if shape == "list" or inner.null_count:
            return pa.ListArray.from_arrays(offsets, inner)
        return pa.MapArray.from_arrays(offsets, pa.array(map(str, range(count))), inner)
    kind, values = draw(st.sampled_from(_VALUES))
    found = draw(st.lists(st.none() | values, min_size=1, max_size=3))
    scalars = [v.as_py() if isinstance(v, pa.Scalar) and not _temporal(kind) else v for v in found]
    return _column(scalars, kind)


def _temporal(kind: pa.DataType) -> bool:
    return bool(pa.types.is_temporal(kind))


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    if not _temporal(kind):
        return pa.concat_arrays([pa.array([value], kind) for value in values])
    raw = pa.int32() if kind.bit_width == 32 else pa.int64()
    numbers = [None if v is None else v.cast(raw).as_py() for v in values]
    return pa.array(numbers, raw).cast(kind)


KINDS = st.sampled_from([kind for kind, _ in _VALUES]) | st.sampled_from(
    [
        pa.list_(pa.float32()),
        pa.list_(pa.timestamp("us")),
        pa.struct([("a", pa.float32())]),
        pa.map_(pa.string(), pa.int16()),
    ]
)


@settings(max_examples=examples(600), deadline=None)
@given(columns(), KINDS)
def test_a_cast_keeps_every_value_or_names_one(values: pa.Array, kind: pa.DataType) -> None:
    try:
        found = exact(values, kind)
    except InexactError as error:
        assert error.value or not widens(values.type, kind) or values.type != kind
        return
    assert found.type == kind
    assert len(found) == len(values)
    assert [meaning(one) for one in found] == [meaning(one) for one in values]


@settings(max_examples=examples(400), deadline=None)
@given(columns())
def test_every_value_can_be_shown(values: pa.Array) -> None:
    for value in values:
        as_python(value)
        assert len(shown(value)) <= 120


@settings(
    max_examples=examples(400),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(columns(), st.none() | KINDS)
def test_a_dataset_holds_what_was_delivered_or_refuses_it_by_column(
    tmp_path: Path, values: pa.Array, kind: pa.DataType | None
) -> None:
    """From an Arrow file to the rows of a data file; `kind`: the dataset has that type already."""
    path = tmp_path / "t.arrow"
    table = pa.table({"x": values})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    try:
        chunk = decoded(path).table().combine_chunks().to_batches()[0]
        has = chunk.schema if kind is None else pa.schema([("x", kind)])
        wanted = storable(has, "d")
        fit = find_change(chunk.schema, wanted, Evolve(), ())
        if fit.problems:
            assert "'x'" in fit.problems[0]
            return
        kept = conform(chunk, wanted, "d")
    except (AdmissionRefusedError, DeliveryError) as error:
        assert "'x'" in str(error)
        return
    pq.write_table(pa.Table.from_batches([kept]), tmp_path / "kept.parquet")
    found = pq.read_table(tmp_path / "kept.parquet")["x"]
    assert [meaning(one) for one in found] == [meaning(one) for one in values]


# --- text

_TEXTS = st.sampled_from(
    [
        *("0", "-0", "7", "007", "+7", " 7", "7.0", "7.50", "1e3", "1e400", "1e-400", "0.1"),
        *("0.10000000149011612", "9007199254740993", "18446744073709551615", "-1", "300"),
        *("16777217", "0.1234567890123456789", "nan", "inf", "x", "true", "0x1F", "1_0"),
        *("2026-01-01", "2026-01-01T10:00:00", "2026-01-01T10:00:00Z", "10000-01-01T00:00:00"),
        *("2026-01-01T10:00:00.123456789", "2026-01-01T10:00:00+01:00", "10:30", "10:30:00.5"),
    ]
)
_NUMBERS = st.integers(-(2**70), 2**70).map(str) | st.floats(allow_nan=False).map(repr)
_PLACES = st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str)
TYPES = st.sampled_from(
    [
        kind
        for kind, _ in _VALUES
        if not pa.types.is_null(kind) and str(kind) != "timestamp[us, tz=Mars/Base]"
    ]
)


def _says(cell: str, value: pa.Scalar) -> bool:  # noqa: PLR0911  one return per kind
    """Whether a value is what a text says, to all digits that the text has."""
    kind, t = value.type, pa.types
    if not value.is_valid:
        return cell in ("nan",)  # pandas' word for null
    if t.is_string(kind) or t.is_large_string(kind):
        return bool(value.as_py() == cell)
    if t.is_binary(kind) or t.is_fixed_size_binary(kind):
        return bool(value.as_py() == cell.encode())
    if t.is_boolean(kind):
        return cell.lower() in (("true", "1") if value.as_py() else ("false", "0"))
    if t.is_integer(kind) or t.is_decimal(kind):
        return meaning(value) == Fraction(cell.strip())
    if t.is_floating(kind):
        number = float(value.as_py())
        try:
            wanted = Decimal(cell.strip())
        except InvalidOperation:
            return False
        if not math.isfinite(number) or not wanted.is_finite():
            return str(number) == str(float(wanted))
        step = Fraction(Decimal((0, (1,), int(wanted.as_tuple().exponent))))
        return abs(Fraction(number) - Fraction(wanted)) * 2 <= step and (number or not wanted)
    moment = dt.datetime.fromisoformat(f"1970-01-01T{cell}" if t.is_time(kind) else cell[:26])
    if "." in cell and len(cell) > 26:
        return False  # nanoseconds, in a type that was not asked for here
    if t.is_timestamp(kind) and (moment.tzinfo is None) != (kind.tz is None):
        return False
    origin = dt.datetime(1970, 1, 1, tzinfo=moment.tzinfo and dt.UTC)
    since = (moment - origin) // dt.timedelta(microseconds=1)
    found = meaning(value)[1] * (86_400 if t.is_date(kind) else 1)
    return found == Fraction(since, 10**6)


@settings(
    max_examples=examples(600),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(_TEXTS | _NUMBERS | _PLACES, min_size=1, max_size=3), TYPES, st.booleans())
def test_a_cell_has_its_declared_type_or_the_delivery_is_refused_by_column_and_record(
    tmp_path: Path, cells: list[str], kind: pa.DataType, as_json: bool
) -> None:
    wanted = Wanted(declared=pa.schema([declared("x", kind, "the contract")]))
    if as_json:
        path = tmp_path / "t.jsonl"
        path.write_text("".join(json.dumps({"x": cell}) + "\n" for cell in cells))
    else:
        path = tmp_path / "t.csv"
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([["x", "y"], *[[cell, "z"] for cell in cells]])
    try:
        found = decoded(path, wanted=wanted).table()["x"]
    except DeliveryError as error:
        assert error.code == "wrong_type"
        assert "'x', record" in str(error)
        assert "the contract" in str(error)
        return
    for cell, value in zip(cells, found, strict=True):
        if pa.types.is_timestamp(kind) and kind.unit == "ns" and "." in cell:
            assert str(value.cast(pa.string())).startswith(cell.replace("T", " ").rstrip("Z"))
        else:
            assert _says(cell, value), (cell, value)


@settings(
    max_examples=examples(300),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        _INT64 | st.integers(0, 2**66) | st.floats(allow_nan=False, allow_infinity=False),
        min_size=1,
        max_size=3,
    ),
    st.none() | st.sampled_from([pa.int64(), pa.uint8(), pa.float64(), pa.float32(), pa.string()]),
)
def test_a_number_of_json_is_what_was_written_or_is_refused(
    tmp_path: Path, numbers: list[Any], kind: pa.DataType | None
) -> None:
    path = tmp_path / "t.jsonl"
    cells = [json.dumps(number) for number in numbers]
    path.write_text("".join(f'{{"x":[{cell}]}}\n' for cell in cells))
    fields = [] if kind is None else [declared("x", pa.list_(kind), "dataset 'd'")]
    try:
        found = decoded(path, wanted=Wanted(declared=pa.schema(fields))).table()["x"]
    except DeliveryError as error:
        assert kind is not None
        assert error.code == "wrong_type"
        assert "'x', record" in str(error)
        return
    values = [row.values[0] for row in found]
    assert all(_says(cell, value) for cell, value in zip(cells, values, strict=True))


@pytest.mark.parametrize(
    ("line", "kind", "problem"),
    [
        ('{"x": {"a": 1}}', pa.int64(), "field 'x' holds no value of type int64"),
        ('{"x": 1}', pa.list_(pa.int64()), "field 'x' holds no value of type list"),
        ('{"x": true}', pa.string(), "'x', record 1: true is not"),
        ('{"x": "5"}', pa.int64(), "'x', record 1: '5' is not"),
        ('{"x": [0.1, "a"]}', pa.list_(pa.float64()), r"'x', record 1: \[0.1, 'a'\] is not"),
        ('{"x": {"a": 1, "b": 300}}', pa.struct([("a", pa.int8()), ("b", pa.int8())]), "record 1"),
    ],
)
def test_json_of_another_kind_than_declared_is_refused(
    tmp_path: Path, line: str, kind: pa.DataType, problem: str
) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(line + "\n")
    wanted = Wanted(declared=pa.schema([declared("x", kind, "the contract")]))
    with pytest.raises(DeliveryError, match=problem) as raised:
        decoded(path, wanted=wanted)
    assert raised.value.code == "wrong_type"


def test_a_record_has_the_fields_that_are_declared_and_those_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"x": {"a": 1, "new": "n"}}\n{"x": null}\n{"x": {"a": null}}\n')
    kind = pa.struct([("a", pa.float32()), ("b", pa.string())])
    wanted = Wanted(declared=pa.schema([declared("x", kind, "dataset 'd'")]))
    found = decoded(path, wanted=wanted).table()["x"]
    assert found.type == pa.struct([("a", pa.float32()), ("new", pa.string()), ("b", pa.string())])
    assert found.to_pylist() == [
        {"a": 1.0, "new": "n", "b": None},
        None,
        {"a": None, "new": None, "b": None},
    ]


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1"b":2}',
        '{"a":01}',
        '{"a":1e}',
        '{"a":tfe}',
        '{"a":1:2}',
        '{"a":-}',
        "{a:1}",
        '{"a":"\udcff1"}',
    ],
)
def test_what_is_no_json_is_unreadable(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(text.encode("utf-8", "surrogateescape") + b"\n")
    with pytest.raises(DeliveryError) as raised:
        decoded(path)
    assert raised.value.code == "unreadable"


def test_text_that_looks_like_a_mark_is_text(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    said = ["\\u00ff1", "ÿtrue", "1", '"1"', "\\", "[1, true]", "a: 1"]
    path.write_text("".join(json.dumps({"a": one, "1": one}) + "\n" for one in said))
    rows = decoded(path).table().to_pylist()
    assert rows == [{"a": one, "1": one} for one in said]


def test_csv_has_no_lists(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x\n1\n")
    wanted = Wanted(declared=pa.schema([declared("x", pa.list_(pa.int8()), "dataset 'd'")]))
    with pytest.raises(DeliveryError, match=r"'x' is of type list.*, as dataset 'd' says"):
        decoded(path, wanted=wanted)


def test_a_pattern_declares_all_columns_that_match(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("price_a,price_b,other\n1,2,3\n")
    fields = [
        declared("price_b", pa.string(), "the contract"),
        declared("^price_.*$", pa.float64(), "the contract", pattern=True),
    ]
    found = decoded(path, wanted=Wanted(declared=pa.schema(fields))).table()
    assert found.to_pylist() == [{"price_a": 1.0, "price_b": "2", "other": 3}]
