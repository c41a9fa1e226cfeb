"""Which types hold all values of another one, and which hold the values of two."""

from __future__ import annotations

import pyarrow as pa

from lazaretto.batch._plain import is_list, plain_type

# Decimal digits that whole numbers of so many bits may have.
_DIGITS = {8: 3, 16: 5, 32: 10, 64: 20}
_MOST_DIGITS = 38


def always_fits(one: pa.DataType, other: pa.DataType) -> bool:  # noqa: PLR0911  one per kind
    """Whether every value of a type has a place in another one, exactly.

    Example:
        >>> always_fits(pa.int32(), pa.float64()), always_fits(pa.int64(), pa.float64())
        (True, False)
    """
    t, one, other = pa.types, plain_type(one), plain_type(other)
    if one == other or t.is_null(one):
        return True
    if t.is_map(one) or t.is_map(other):
        return False
    if is_list(one) and is_list(other):
        same = not t.is_fixed_size_list(other)
        return same and always_fits(one.value_type, other.value_type)
    if t.is_integer(one) and t.is_integer(other):
        signs = t.is_signed_integer(other) or t.is_unsigned_integer(one)
        return bool(signs and _bits(one) <= _bits(other))
    if t.is_integer(one) and t.is_floating(other):
        return _bits(one) <= {16: 11, 32: 24, 64: 53}[other.bit_width]
    if t.is_integer(one) and t.is_decimal(other):
        return bool(other.precision - other.scale >= _DIGITS[one.bit_width])
    if t.is_floating(one) and t.is_floating(other):
        return bool(one.bit_width <= other.bit_width)
    if t.is_decimal(one) and t.is_decimal(other):
        whole = other.precision - other.scale >= one.precision - one.scale
        return bool(whole and other.scale >= one.scale)
    if t.is_date(one) and t.is_date(other):
        return True
    if t.is_timestamp(one) and t.is_timestamp(other):
        return (one.tz is None) == (other.tz is None) and one.unit == other.unit
    texts = (pa.string(), pa.large_string()), (pa.binary(), pa.large_binary())
    return any(one in group and other in group for group in texts)


def wider_type(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """A type for values of two, of those that a dataset keeps; None where there is none.

    Whole numbers get more bits, numbers with a fraction too, decimals more digits. Whole numbers
    beside numbers with a fraction become doubles, if all of them are exact ones. A day is no time,
    and a number no text.

    Example:
        >>> wider_type(pa.int32(), pa.int64()), wider_type(pa.int64(), pa.string())
        (DataType(int64), None)
    """
    t, one, other = pa.types, plain_type(one), plain_type(other)
    if is_list(one) and is_list(other) and not (t.is_map(one) or t.is_map(other)):
        inner = wider_type(one.value_type, other.value_type)
        if inner is None and one.value_type == other.value_type:
            inner = one.value_type
        return None if inner is None else pa.list_(pa.field("element", inner))
    if t.is_integer(one) and t.is_integer(other):
        bits = max(_bits(one), _bits(other))
        return next((k for k in (pa.int16(), pa.int32(), pa.int64()) if bits < k.bit_width), None)
    numbers = (t.is_integer, t.is_floating)
    if all(any(kind(each) for kind in numbers) for each in (one, other)):
        return pa.float64()
    if t.is_decimal(one) or t.is_decimal(other):
        return _wider_decimal(one, other)
    return None


def _wider_decimal(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    whole = scale = 0
    for kind in (one, other):
        if pa.types.is_decimal(kind):
            whole, scale = max(whole, kind.precision - kind.scale), max(scale, kind.scale, 0)
        elif pa.types.is_integer(kind):
            whole = max(whole, min(_DIGITS[kind.bit_width], 19))
        else:
            return None
    return pa.decimal128(whole + scale, scale) if whole + scale <= _MOST_DIGITS else None


def _bits(kind: pa.DataType) -> int:
    """Bits of a whole number's magnitude."""
    return int(kind.bit_width) - (1 if pa.types.is_signed_integer(kind) else 0)
