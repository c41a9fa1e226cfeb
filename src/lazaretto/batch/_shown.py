"""Values of any type as text for people; what Python has no value for does not stop it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHOWN = 120
# Arrow writes years of 16 bits; beyond, it writes others than there are.
_LAST_YEAR = 25_000
_PER_YEAR = {"D": 366, **{u: 31_622_400 * 1000**n for n, u in enumerate(("s", "ms", "us", "ns"))}}


def shown(value: pa.Scalar) -> str:
    """A value as one short line, without control characters.

    Example:
        >>> shown(pa.scalar(1577836800123456789, pa.int64()).cast(pa.timestamp("ns")))
        '2020-01-01 00:00:00.123456789'
    """
    return excerpt(as_python(value), _SHOWN)


def as_python(value: pa.Scalar) -> Any:  # noqa: PLR0911  one return per kind of value
    """A value as Python has it; as text where Python has none.

    That are times in nanoseconds, times and days outside of the years 1 to 9999, and times of a
    zone that nobody knows. A record with two fields of one name is a list of pairs.
    """
    if not value.is_valid:
        return None
    kind = value.type
    if pa.types.is_struct(kind):
        names = [field.name for field in kind]
        found = [as_python(value[number]) for number in range(len(names))]
        pairs = list(zip(names, found, strict=True))
        return dict(pairs) if len(set(names)) == len(names) else pairs
    if pa.types.is_map(kind):
        return [(as_python(pair[0]), as_python(pair[1])) for pair in value.values or ()]
    if isinstance(value, pa.ListScalar):
        return [as_python(item) for item in value.values or ()]
    if pa.types.is_temporal(kind):
        return _moment(value)
    try:
        return value.as_py()
    except (ValueError, OverflowError, ArithmeticError, pa.ArrowException):
        return str(value)


def _moment(value: pa.Scalar) -> Any:
    """A time or day as Python has it, else in Arrow's words."""
    kind = value.type
    with suppress(Exception):  # datetime and time zone libraries have each their own
        if getattr(kind, "unit", "") == "ns":
            return pc.cast(value, pa.string()).as_py()
        return value.as_py()
    ticks = int(pc.cast(value, pa.int32() if kind.bit_width == 32 else pa.int64()).as_py())
    unit = getattr(kind, "unit", "D" if pa.types.is_date32(kind) else "ms")
    if abs(ticks) >= _LAST_YEAR * _PER_YEAR[unit]:
        return f"{ticks} {'days' if unit == 'D' else unit} since 1970"
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        value = pc.cast(value, pa.timestamp(kind.unit, "UTC"))
    return pc.cast(value, pa.string()).as_py()


def rows_as_python(table: pa.Table | pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """The rows of a table, as `as_python` gives their values."""
    columns = [[as_python(value) for value in table.column(name)] for name in table.schema.names]
    for values in zip(*columns, strict=True):
        yield dict(zip(table.schema.names, values, strict=True))
