"""Columns as pandas has them, each value the same: what Great Expectations looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lazaretto.batch._plain import is_list, plain_array, plain_bytes, plain_type
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Sequence

_PER_OBJECT = 64
"""Bytes of a Python object and of the pointer to it, about."""
_PER_DECIMAL = 120
_PER_CELL = 48
"""Bytes that an expectation takes for each cell that it looks at: a copy, and what it finds."""


class CannotHoldError(Exception):
    """Why pandas cannot hold a column's values as they are."""


def column_of(chunks: Sequence[pa.RecordBatch], name: str) -> pa.ChunkedArray:
    """A column of some chunks, in its plain type."""
    kind = plain_type(chunks[0].schema.field(name).type)
    return pa.chunked_array([plain_array(chunk.column(name)) for chunk in chunks], kind)


def needs_bytes(column: pa.ChunkedArray) -> int:
    """Bytes, about, that a column takes in pandas while an expectation looks at it."""
    rows, kind, t = len(column), column.type, pa.types
    if _is_nested(kind):
        size = sum(8 * plain_bytes(chunk) for chunk in column.chunks)
    elif t.is_decimal(kind):
        size = rows * _PER_DECIMAL
    elif _is_fixed(kind) and not (t.is_integer(kind) and column.null_count):
        size = rows * 8
    else:
        size = column.nbytes + rows * _PER_OBJECT
    return size + rows * _PER_CELL


def series_of(column: pa.ChunkedArray) -> Any:
    """A column as a `pandas.Series` with the same values, numbered from 0.

    Whole numbers with nulls become Python's numbers, and NaN for null: pandas would make fractions
    of all of them, and nothing can be compared with None. Times without a zone are in nanoseconds
    where these reach, because Great Expectations compares only those fast, and only those with a
    bound that is written as text. What is nested becomes Python's lists and dictionaries; all else
    is as `to_pandas` of Arrow makes it.

    Raises:
        CannotHoldError: pandas, or Python, has no such values.
    """
    import pandas as pd

    try:
        if _is_nested(column.type):
            return pd.Series(_objects(column), dtype=object)
        found = _fitted(column).to_pandas(
            integer_object_nulls=True, coerce_temporal_nanoseconds=False, date_as_object=True
        )
    except Exception as error:
        raise CannotHoldError(
            f"has type {column.type}, and pandas cannot hold its values: {error_line(error)[:160]}"
        ) from error
    if pa.types.is_integer(column.type) and column.null_count:
        cells = found.to_numpy(dtype=object, copy=True)
        cells[found.isna().to_numpy()] = float("nan")
        return pd.Series(cells, dtype=object)
    return found.rename(None)


def _is_fixed(kind: pa.DataType) -> bool:
    t = pa.types
    numbers = t.is_integer(kind) or t.is_floating(kind) or t.is_boolean(kind)
    return bool(numbers or t.is_timestamp(kind) or t.is_duration(kind))


def _is_nested(kind: pa.DataType) -> bool:
    return bool(is_list(kind) or pa.types.is_struct(kind) or pa.types.is_union(kind))


def _objects(column: pa.ChunkedArray) -> list[Any]:
    if _has_nanoseconds(column.type):
        raise TypeError("times of day in nanoseconds, which Python has not")
    found: list[Any] = column.to_pylist()
    return found


def _has_nanoseconds(kind: pa.DataType) -> bool:
    """Whether there are times of day inside that are finer than Python's."""
    if kind.num_fields:
        return any(_has_nanoseconds(kind.field(n).type) for n in range(kind.num_fields))
    return bool(pa.types.is_time64(kind) and kind.unit == "ns")


def _fitted(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column in the nearest type that pandas has.

    Raises:
        ArrowInvalid: a time of day is finer than Python has it.
    """
    kind = column.type
    if _has_nanoseconds(kind):
        return column.cast(pa.time64("us"))
    if not pa.types.is_timestamp(kind) or kind.tz is not None or kind.unit == "ns":
        return column
    try:
        return column.cast(pa.timestamp("ns"))
    except pa.ArrowInvalid:
        return column
