"""Columns for Great Expectations: every value is the same in pandas, or the column is refused."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from lazaretto.batch._plain import plain_type
from lazaretto.contract._gx_frame import CannotHoldError, column_of, needs_bytes, series_of

LONG = decimal.Decimal("12345678901234567890123456789012345.678")
INSTANT = dt.datetime(2020, 5, 17, 3, 4, 5, 678901)


def column(kind: pa.DataType, values: list[Any]) -> pa.ChunkedArray:
    half = len(values) // 2
    parts = [
        pa.array(part, pa.int64() if _is_raw(kind, part) else kind)
        for part in (values[:half], values[half:])
    ]
    parts = [part.cast(kind) if part.type != kind else part for part in parts]
    return column_of([pa.record_batch({"x": part}) for part in parts], "x")


def _is_raw(kind: pa.DataType, values: list[Any]) -> bool:
    return pa.types.is_temporal(kind) and any(isinstance(value, int) for value in values)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        *(
            (kind, [low, high, None, 0])
            for kind, low, high in (
                (pa.int8(), -128, 127),
                (pa.int64(), -(2**63), 2**63 - 1),
                (pa.uint8(), 0, 255),
                (pa.uint64(), 0, 2**64 - 1),
            )
        ),
        (pa.int64(), [2**53, 2**53 + 1, -(2**63), 2**63 - 1]),
        (pa.uint64(), [2**64 - 1, 2**63 + 1]),
        (pa.float16(), [1.5, None]),
        (pa.float32(), [0.1, None, float("inf")]),
        (pa.float64(), [0.1, None, -0.0, 5e-324]),
        (pa.bool_(), [True, False, None]),
        (pa.bool_(), [True, False]),
        (pa.string(), ["ä", None, "", "\x00", "\U0001f600"]),
        (pa.large_string(), ["a", None]),
        (pa.dictionary(pa.int8(), pa.string()), ["a", None, "a", "b"]),
        (pa.binary(), [b"\xff", None, b""]),
        (pa.binary(2), [b"ab", None]),
        (pa.decimal128(38, 3), [LONG, None, -LONG]),
        (pa.decimal256(60, 3), [LONG, None]),
        (pa.date32(), [dt.date(1, 1, 1), None, dt.date(9999, 12, 31)]),
        (pa.date64(), [dt.date(2020, 2, 29), None]),
        (pa.time32("s"), [dt.time(23, 59, 59), None]),
        (pa.time64("us"), [dt.time(23, 59, 59, 999999), None]),
        (pa.time64("ns"), [1_000, None, 86_399_999_999_000]),
        *(
            (pa.timestamp(unit, zone), [INSTANT.replace(microsecond=0), None])
            for unit in ("s", "ms", "us", "ns")
            for zone in (None, "UTC", "Europe/Berlin", "+05:30")
        ),
        (pa.timestamp("ns"), [1_577_836_800_123_456_789, None]),
        (pa.timestamp("us"), [dt.datetime(9999, 12, 31, 23, 59, 59, 999999), None]),
        (pa.timestamp("us"), [dt.datetime(1, 1, 1), None]),
        (pa.timestamp("s"), [10**13, None]),
        (pa.duration("us"), [dt.timedelta(days=1, microseconds=1), None]),
        (pa.duration("ns"), [1, None]),
        (pa.null(), [None, None]),
        (pa.list_(pa.int64()), [[2**53 + 1, None], None, []]),
        (pa.list_(pa.float32(), 2), [[0.5, 1.5], None]),
        (pa.struct([("a", pa.int64()), ("b", pa.list_(pa.string()))]), [{"a": 1, "b": None}, None]),
        (pa.map_(pa.string(), pa.decimal128(38, 3)), [[("k", LONG)], None]),
        (pa.list_(pa.timestamp("ns")), [[1_577_836_800_123_456_789 // 1], None]),
        (pa.int64(), []),
        (pa.string(), []),
    ],
    ids=str,
)
def test_every_value_is_the_same_in_pandas(kind: pa.DataType, values: list[Any]) -> None:
    if pa.types.is_list(kind) and pa.types.is_timestamp(kind.value_type):
        values = [None if v is None else [pd.Timestamp(one) for one in v] for v in values]
    found = column(kind, values)
    assert found.type == plain_type(kind)
    series = series_of(found)
    assert list(series.index) == list(range(len(values)))
    assert series.isna().tolist() == [value is None for value in values]
    back = pa.Table.from_pandas(
        series.to_frame("x"), schema=pa.schema([("x", found.type)]), preserve_index=False
    )
    assert back["x"].equals(found)
    assert needs_bytes(found) >= 48 * len(values)
    if pa.types.is_integer(kind):
        assert not any(isinstance(one, float) for one in series.dropna())


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.time64("ns"), [1, None]),
        (pa.list_(pa.time64("ns")), [[1_000]]),
        (pa.date32(), [10_000_000]),
    ],
    ids=str,
)
def test_what_pandas_cannot_hold_is_refused_with_its_type(
    kind: pa.DataType, values: list[Any]
) -> None:
    if pa.types.is_date(kind):
        found = pa.chunked_array([pa.array(values, pa.int32()).cast(kind)])
    else:
        found = pa.chunked_array([pa.array(values, kind)])
    with pytest.raises(CannotHoldError, match=r"has type .*, and pandas cannot hold its values"):
        series_of(found)
