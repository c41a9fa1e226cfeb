"""Keys of records: 128 bits of their content, equal for records of the same content."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.batch._digest import row_bytes
from lazaretto.batch._plain import plain_array, plain_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

_DOMAIN = b"lazaretto-content-key-1\0"
_NULL = b"n"
_IGNORED = (
    r"[\x{ad}\x{034f}\x{061c}\x{115f}\x{1160}\x{17b4}\x{17b5}\x{180b}-\x{180f}\x{200b}-\x{200f}"
    r"\x{202a}-\x{202e}\x{2060}-\x{206f}\x{3164}\x{fe00}-\x{fe0f}\x{feff}\x{ffa0}"
    r"\x{e0000}-\x{e0fff}]"
)
_SPACE = r"[\s\p{Z}\x0b\x{85}]"
_ODD_SPACES = (
    rf"[\t-\r\x{{85}}\x{{a0}}\p{{Zl}}\p{{Zp}}\x{{1680}}\x{{2000}}-\x{{3000}}]|{_SPACE}{{2}}"
)


def content_keys(chunk: pa.RecordBatch, compare: Literal["text", "exact"]) -> NDArray[np.int64]:
    """Key of each record of its columns.

    Equal for equal values under equal names, whatever the width of numbers, the kind of lists and
    the order of columns; a null counts as a column that is not there. No two contents share one, as
    far as anybody knows how to make such.

    Args:
        chunk: the columns that are the content.
        compare: ``text``: texts count as `same_text` makes them.

    Returns:
        Two int64 for each record.

    Examples:
        >>> one, other = content_keys(pa.record_batch({"text": ["A  b", "a b"]}), "text")
        >>> bool((one == other).all())
        True
    """
    names = sorted(chunk.schema.names)
    start = hashlib.blake2b(_DOMAIN + compare.encode(), digest_size=16)
    tags = [len(name.encode()).to_bytes(8, "little") + name.encode() for name in names]
    columns = [_bytes(_comparable(chunk.column(name), compare)) for name in names]
    keys = bytearray()
    for values in zip(*columns, strict=True) if columns else ((),) * chunk.num_rows:
        key = start.copy()
        for tag, value in zip(tags, values, strict=True):
            if value != _NULL:  # a column that a dataset got later is none of the content
                key.update(tag + len(value).to_bytes(8, "little") + value)
        keys += key.digest()
    return np.frombuffer(bytes(keys), "<i8").reshape(-1, 2)


def same_text(texts: pa.Array) -> pa.Array:
    r"""What of texts is compared: not their letter case, white space, form and what is not seen.

    Args:
        texts: string.

    Examples:
        >>> same_text(pa.array([" Free\u200b  MONEY "])).to_pylist()
        ['free money']
    """
    lower = pc.utf8_lower(texts)
    lower = _mended(lower, pc.invert(pc.string_is_ascii(lower)), _plain_form)
    lower = pc.utf8_trim_whitespace(lower)
    return _mended(lower, pc.match_substring_regex(lower, _ODD_SPACES), _single_spaces)


def repeated(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Position of the first record with the same key, for each record.

    Args:
        keys: of `content_keys`.

    Returns:
        Positions; a record that is the first has its own.

    Examples:
        >>> repeated(content_keys(pa.record_batch({"a": [7, 8, 7]}), "exact")).tolist()
        [0, 1, 0]
    """
    if not len(keys):
        return np.zeros(0, np.int64)
    order = np.lexsort((np.arange(len(keys)), keys[:, 1], keys[:, 0]))
    ordered = keys[order]
    new = np.ones(len(keys), dtype=np.bool_)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    first = np.empty(len(keys), dtype=np.int64)
    first[order] = order[np.maximum.accumulate(np.where(new, np.arange(len(keys)), 0))]
    return first


def _mended(texts: pa.Array, which: pa.Array, mend: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """The texts with some of them mended: most need nothing, and looking is faster than doing."""
    which = pc.fill_null(which, False)
    some = texts.filter(which)
    return pc.replace_with_mask(texts, which, mend(some)) if len(some) else texts


def _plain_form(texts: pa.Array) -> pa.Array:
    plain = pc.utf8_lower(pc.utf8_normalize(texts, "NFKC"))
    return pc.replace_substring_regex(plain, _IGNORED, "")


def _single_spaces(texts: pa.Array) -> pa.Array:
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(texts, rf"{_SPACE}+", " "))


def is_text(kind: pa.DataType) -> bool:
    """Whether a plain type is one of texts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def missing(names: Iterable[str], schema: pa.Schema) -> list[str]:
    """Those names that are no columns."""
    return [name for name in names if name not in schema.names]


def _bytes(values: pa.Array) -> list[bytes]:
    if not pa.types.is_large_string(values.type):
        return row_bytes(values)
    # As `row_bytes` does it, in a fifth of the time.
    texts = values.cast(pa.large_binary()).to_pylist()
    return [_NULL if text is None else b"v" + text for text in texts]


def _comparable(values: pa.Array, compare: Literal["text", "exact"]) -> pa.Array:
    values = plain_array(values)
    if is_text(values.type):
        texts = values.cast(pa.large_string())
        return same_text(texts) if compare == "text" else texts
    wanted = _wide(values.type)
    if wanted.equals(values.type):
        return values
    try:
        return values.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return values  # compared as it is


def _wide(kind: pa.DataType) -> pa.DataType:  # noqa: PLR0911  one return per kind of type
    """The type in which values of several widths are compared: a dataset keeps them in another."""
    t = pa.types
    kind = plain_type(kind)
    if t.is_boolean(kind):
        return kind
    if t.is_integer(kind):
        return kind if t.is_uint64(kind) else pa.int64()
    if t.is_floating(kind):
        return pa.float64()
    if t.is_date(kind):
        return pa.date32()
    if t.is_timestamp(kind):
        return pa.timestamp("us", "UTC" if kind.tz else None)
    if t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind):
        return pa.large_list(_wide(kind.value_type))
    return kind
