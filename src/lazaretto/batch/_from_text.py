"""Text that becomes values of a type: exactly what was delivered, or an error.

A number with a fraction is exact when it is what was delivered after rounding to as many digits as
were delivered: 0.1 is a double, 9007199254740993 and 1e400 are not (no double is near enough).
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.batch._exact import InexactError, exact

if TYPE_CHECKING:
    from lazaretto.batch._wanted import Role

NOT_READ = (InexactError, pa.ArrowInvalid, pa.ArrowNotImplementedError)
"""Errors for text that is not of a type."""
INTEGER = r"^-?(0|[1-9]\d*)$"
"""A whole number as it is written once it is a number: 007 is none."""
PLAIN_NUMBER = r"^-?(0|[1-9]\d*)?(\.\d*)?([eE][+-]?\d+)?$"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_WHOLE = r"^-?(0|[1-9]\d*)(\.0*)?$"
_ZERO = r"^[+-]?[0.]+([eE][+-]?\d+)?$"
_TIME = r"^\d\d:\d\d(:\d\d(\.\d+)?)?$"
# Decimal digits that a type keeps, whatever they are; the least number that it keeps all digits of.
_FLOATS = {16: (3, 6.2e-5), 32: (6, 1.2e-38), 64: (15, 2.3e-308)}
_MOST_DIGITS = 800  # no double has more


def from_text(text: pa.Array, kind: pa.DataType, role: Role = "value") -> pa.Array:
    """Texts as values of a type; null stays null.

    Args:
        text: string array.
        kind: any type that text can have; not lists and records.
        role: an id must be written as it is written once it has the type, since 007 and 7 are two
            ids; so must a label, except that 3.0 is the label 3.

    Raises:
        InexactError: a text is no value of that type, or not exactly.
        ArrowInvalid: likewise.

    Example:
        >>> from_text(pa.array(["2", "2.50", None]), pa.float64()).to_pylist()
        [2.0, 2.5, None]
        >>> from_text(pa.array(["2.0"]), pa.int64()).to_pylist()
        [2]
    """
    t = pa.types
    if role == "id":
        found = _read(text, kind)
        if not found.cast(pa.string()).equals(text):
            raise InexactError("")
        return found
    if role == "label" and t.is_integer(kind):
        _all_match(text, _WHOLE)
    elif role == "label" and (t.is_floating(kind) or t.is_decimal(kind)):
        _all_match(text, PLAIN_NUMBER)
    return _read(text, kind)


def _read(text: pa.Array, kind: pa.DataType) -> pa.Array:
    t = pa.types
    if t.is_null(kind):
        return pa.nulls(len(text)) if text.null_count == len(text) else _refuse()
    if t.is_string(kind) or t.is_large_string(kind) or t.is_timestamp(kind):
        return text.cast(kind)
    if t.is_binary(kind) or t.is_large_binary(kind) or t.is_fixed_size_binary(kind):
        return exact(text.cast(pa.binary()), kind)
    return _trimmed(pc.ascii_trim(text, " \t"), kind)


def _trimmed(text: pa.Array, kind: pa.DataType) -> pa.Array:
    """Numbers, days and times of day, around which pyarrow takes spaces."""
    t = pa.types
    if t.is_integer(kind):
        return _integers(text, kind)
    if t.is_floating(kind):
        return _floats(text, kind)
    if t.is_decimal(kind):
        _all_match(text, _NUMBER)
        return text.cast(kind)
    if t.is_date(kind):
        return text.cast(pa.date32()).cast(kind)
    if t.is_time(kind):
        # Arrow casts no text to times of day.
        _all_match(text, _TIME)
        moments = pc.binary_join_element_wise("1970-01-01", text, " ")
        return moments.cast(pa.timestamp(kind.unit)).cast(kind)
    return text.cast(kind) if t.is_boolean(kind) else _refuse()


def _refuse() -> pa.Array:
    raise InexactError("")


def _all_match(text: pa.Array, pattern: str) -> None:
    if not _every(pc.match_substring_regex(text, pattern)):
        raise InexactError("")


def _every(flags: pa.Array) -> bool:
    return pc.all(flags, min_count=0).as_py() is not False


def _integers(text: pa.Array, kind: pa.DataType) -> pa.Array:
    """Whole numbers: 2.0 and 2e3 are such, too."""
    whole = pc.match_substring_regex(text, r"^[+-]?\d+$")
    if not _every(whole):
        _all_match(text, _NUMBER)
        text = pa.array(
            [one if one is None or ok else _whole(one) for one, ok in _pairs(text, whole)],
            pa.string(),
        )
    return pc.utf8_ltrim(text, "+").cast(kind)


def _pairs(text: pa.Array, flags: pa.Array) -> list[tuple[str | None, bool | None]]:
    return list(zip(text.to_pylist(), flags.to_pylist(), strict=True))


def _whole(text: str) -> str:
    number = _decimal(text)
    if number is None or number.adjusted() > 40 or number != number.to_integral_value():
        raise InexactError(text)
    return str(int(number))


def _floats(text: pa.Array, kind: pa.DataType) -> pa.Array:
    """Numbers with a fraction, with the digits that were delivered."""
    width = kind.bit_width
    wide = text.cast(pa.float32() if width == 32 else pa.float64())
    numbers = pc.fill_null(wide, 0.0).to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        numbers = numbers.astype(kind.to_pandas_dtype())
    found = pa.array(numbers, kind, mask=text.is_null().to_numpy(zero_copy_only=False))
    digits, least = _FLOATS[width]
    usual = np.isfinite(numbers) & (np.abs(numbers) >= least)
    short = _numpy(pc.less_equal(pc.binary_length(text), digits))
    kept = short & usual
    if width > 16 and not kept.all():
        kept |= _numpy(pc.equal(pc.cast(wide, pa.string()), text))
    if not kept.all():
        kept |= _numpy(pc.match_substring_regex(text, _ZERO)) & (numbers == 0)
        kept |= ~np.isfinite(numbers) & _numpy(
            pc.invert(pc.match_substring_regex(text, r"\d"))  # written as inf or nan
        )
        rest = np.flatnonzero(~kept)
        for position, one in zip(rest, text.take(pa.array(rest)).to_pylist(), strict=True):
            if not _rounds_to(float(numbers[position]), one):
                raise InexactError(one, int(position))
    return found


def _numpy(flags: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.asarray(pc.fill_null(flags, True).to_numpy(zero_copy_only=False))


def _rounds_to(number: float, text: str) -> bool:
    """Whether a number, rounded to as many digits as a text has, is what the text says."""
    wanted = _decimal(text)
    if wanted is None or not np.isfinite(number):
        return False
    digits = len(wanted.as_tuple().digits)
    return digits <= _MOST_DIGITS and Decimal(f"{number:.{digits - 1}e}") == wanted


def _decimal(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent of more digits than it can have
        return None
    return number if number.is_finite() else None
