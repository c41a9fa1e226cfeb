"""Counts what the pages of a Parquet column hold, by their headers: the footer may claim less.

Arrow believes the pages. Repetition levels cost nothing, so a page of a hundred bytes can hold one
list of a billion items; nothing but its header says so before it is decoded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazaretto.batch._thrift import I32, STRUCT, CompactReader

if TYPE_CHECKING:
    import pyarrow as pa

_HEADER_BYTES = (256, 2**14, 2**20)
_MOST_PAGES = 1_000_000
# Arrow reads this much further in files of an old writer that stated too short a length.
_SLACK = 100
# Field ids and kinds of parquet.thrift, and types of pages.
_TYPE, _COMPRESSED, _NUM_VALUES = (1, I32), (3, I32), (1, I32)
_DATA = {0: (5, STRUCT), 3: (8, STRUCT)}


def count_values(file: pa.NativeFile, span: tuple[int, int], claimed: int) -> int:
    """Values in the pages of a column that Arrow would read to get `claimed` ones.

    Args:
        file: the Parquet file.
        span: first byte and number of bytes of the column's pages.
        claimed: what the footer says.

    Returns:
        the number of values, nulls included; more than `claimed` is a lie.

    Raises:
        ValueError: a page header is damaged, or there are too many.
    """
    at, length = span
    end = min(at + length + _SLACK, file.size())
    if at < 0 or length < 0:
        raise ValueError("its pages lie outside of the file")
    try:
        return _count(file, at, end, claimed)
    except (TypeError, KeyError) as error:
        raise ValueError("the header of a page is damaged") from error


def _count(file: pa.NativeFile, at: int, end: int, claimed: int) -> int:
    seen = 0
    for _ in range(_MOST_PAGES):
        if seen >= claimed or at >= end:
            return seen
        header, size = _header(file, at)
        kind, compressed, values = header[_TYPE], header[_COMPRESSED], 0
        if kind in _DATA:
            values = header[_DATA[kind]][_NUM_VALUES]
        if min(compressed, values) < 0:
            raise ValueError("a page has a negative size")
        seen += values
        at += size + compressed
    raise ValueError(f"it has more than {_MOST_PAGES:,} pages")


def _header(file: pa.NativeFile, at: int) -> tuple[dict[tuple[int, int], Any], int]:
    for count in _HEADER_BYTES:
        data = bytes(file.read_at(count, at))
        try:
            reader = CompactReader(data)
            return reader.structure(), reader.position
        except (IndexError, ValueError):
            if len(data) < count:
                break
    raise ValueError("the header of a page is damaged")
