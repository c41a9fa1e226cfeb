"""Casts that change no value: a column gets another type where every value stays what it is.

Arrow's safe casts are the base. They let a number lose digits on its way into a shorter float, and
take a local time for one in UTC; here both are errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.batch._plain import is_list, plain_array
from lazaretto.batch._shown import shown

if TYPE_CHECKING:
    from collections.abc import Callable

_NOT_CAST = (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError)


class InexactError(ValueError):
    """A type cannot hold a value exactly.

    Attributes:
        value: the first such value, as text that can be shown; empty where the types do not fit.
        position: where it is in its array; 0 where the types do not fit.
    """

    def __init__(self, value: str, position: int = 0) -> None:
        super().__init__(value)
        self.value = value
        self.position = position


def widens(one: pa.DataType, other: pa.DataType) -> bool:  # noqa: PLR0911  one return per kind
    """Whether two types are of one kind, so that `exact` may find a place for every value.

    Whole numbers fit numbers with a fraction, never the other way round; null fits everything.
    Times with a zone and without one are of different kinds.

    Example:
        >>> widens(pa.int64(), pa.float64()), widens(pa.float64(), pa.int64())
        (True, False)
    """
    t = pa.types
    if t.is_null(one) or one == other:
        return True
    if t.is_map(one) or t.is_map(other):
        return bool(
            t.is_map(one)
            and t.is_map(other)
            and widens(one.key_type, other.key_type)
            and widens(one.item_type, other.item_type)
        )
    if is_list(one) and is_list(other):
        return widens(one.value_type, other.value_type)
    if t.is_struct(one) and t.is_struct(other):
        ours, theirs = [field.name for field in one], [field.name for field in other]
        if len(set(ours)) != len(ours) or sorted(ours) != sorted(theirs):
            return False
        return all(widens(one.field(name).type, other.field(name).type) for name in ours)
    if t.is_timestamp(one) and t.is_timestamp(other):
        return (one.tz is None) == (other.tz is None)
    if t.is_integer(one) and (t.is_floating(other) or t.is_decimal(other)):
        return True
    return any(kind(one) and kind(other) for kind in _KINDS)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_binary(kind: pa.DataType) -> bool:
    t = pa.types
    return bool(t.is_binary(kind) or t.is_large_binary(kind) or t.is_fixed_size_binary(kind))


_KINDS: tuple[Callable[[pa.DataType], bool], ...] = (
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_date,
    pa.types.is_time,
    pa.types.is_duration,
    _is_text,
    _is_binary,
)


def exact(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """The values in another type, none of them changed.

    Args:
        values: of any plain or stored type.
        kind: what they shall have.

    Raises:
        InexactError: a value has no place in that type, or the types are of different kinds.

    Example:
        >>> exact(pa.array([2, None]), pa.float64()).to_pylist()
        [2.0, None]
        >>> exact(pa.array([1.5, 1e39]), pa.float32())
        Traceback (most recent call last):
        lazaretto.batch._exact.InexactError: 1e+39
    """
    values = plain_array(values)
    if values.type == kind:
        return values
    if not widens(values.type, kind):
        raise InexactError("")
    try:
        return _cast(values, kind)
    except (InexactError, *_NOT_CAST):
        position = first_failing(len(values), lambda a, b: _fits(values.slice(a, b - a), kind))
        raise InexactError(shown(values[position]), position) from None


def first_failing(count: int, fits: Callable[[int, int], bool]) -> int:
    """Position of the first of `count` values that does not fit, of which there is one.

    Args:
        count: how many values there are.
        fits: says of those from a position up to another (excluded) whether all of them do.
    """
    low, high = 0, count
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(low, middle) else (low, middle)
    return low


def _fits(values: pa.Array, kind: pa.DataType) -> bool:
    try:
        _cast(values, kind)
    except (InexactError, *_NOT_CAST):
        return False
    return True


def _cast(values: pa.Array, kind: pa.DataType) -> pa.Array:  # noqa: PLR0911  one per kind
    t, had = pa.types, values.type
    if had == kind:
        return values
    if t.is_null(had):
        return pa.nulls(len(values), kind)
    if t.is_map(had):
        return _cast_map(values, kind)
    if is_list(had):
        return _cast_list(values, kind)
    if t.is_struct(had):
        children = dict(zip([field.name for field in had], values.flatten(), strict=True))
        columns = [_cast(children[field.name], field.type) for field in kind]
        if not columns:
            return values.cast(kind)
        return pa.StructArray.from_arrays(columns, fields=list(kind), mask=values.is_null())
    if t.is_floating(had) and t.is_floating(kind):
        return _shorter(values, kind)
    if t.is_integer(had) and t.is_floating(kind) and kind.bit_width == 16:
        return _shorter(values.cast(pa.float64()), kind)
    if t.is_integer(had) and t.is_decimal(kind):
        values = values.cast(pa.decimal128(20, 0))
    if t.is_fixed_size_binary(had) and t.is_fixed_size_binary(kind):
        raise InexactError("")  # of another width
    return values.cast(kind)


def _shorter(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Floats in another width, all digits kept."""
    if kind.bit_width >= values.type.bit_width:
        return values.cast(kind)
    whole = values.cast(pa.float64()) if values.type.bit_width == 32 else values
    there = whole.is_valid().to_numpy(zero_copy_only=False)
    numbers = pc.fill_null(whole, 0.0).to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        short = numbers.astype(kind.to_pandas_dtype())
    same = (short.astype(np.float64) == numbers) | np.isnan(numbers)
    if not same.all():
        raise InexactError("")
    return pa.array(short, kind, mask=~there)


def _offsets(values: pa.Array) -> pa.Array:
    """Where the items of each list start when null lists have none; one more at the end."""
    if pa.types.is_map(values.type):
        lengths = np.diff(values.offsets.to_numpy())
    else:
        lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    lengths = np.where(values.is_valid().to_numpy(zero_copy_only=False), lengths, 0)
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]))


def _cast_list(values: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_fixed_size_list(kind):
        if not pa.types.is_fixed_size_list(values.type) or kind.list_size != values.type.list_size:
            # Of lists of any length, Arrow looks whether each has the right one.
            loose = _cast(values, pa.list_(kind.value_field))
            return loose.cast(kind)
        size = kind.list_size
        items = values.values.slice(values.offset * size, len(values) * size)
        return pa.FixedSizeListArray.from_arrays(
            _cast(items, kind.value_type), type=kind, mask=values.is_null()
        )
    items = _cast(values.flatten(), kind.value_type)
    large = pa.types.is_large_list(kind)
    make = pa.LargeListArray if large else pa.ListArray
    offsets = _offsets(values).cast(pa.int64() if large else pa.int32())
    return make.from_arrays(offsets, items, type=kind, mask=values.is_null())


def _cast_map(values: pa.Array, kind: pa.DataType) -> pa.Array:
    dense = values.drop_null()
    starts = dense.offsets
    first, last = (starts[0].as_py(), starts[-1].as_py()) if len(dense) else (0, 0)
    keys = _cast(dense.keys.slice(first, last - first), kind.key_type)
    items = _cast(dense.items.slice(first, last - first), kind.item_type)
    offsets = _offsets(values).cast(pa.int32())
    return pa.MapArray.from_arrays(offsets, keys, items, type=kind, mask=values.is_null())
