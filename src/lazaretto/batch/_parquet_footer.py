"""Reads sizes from a Parquet footer without pyarrow, whose metadata aborts on bad ones.

``ColumnChunkMetaData`` in pyarrow (26.0 at least) is made outside of any try: a footer whose size
statistics do not add up raises a C++ exception that nobody catches, and the interpreter aborts. So
what decides about decoding is read here (https://github.com/apache/parquet-format, parquet.thrift).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lazaretto.batch._thrift import I64, LIST, STRUCT, CompactReader

if TYPE_CHECKING:
    import pyarrow as pa

_TAIL = struct.Struct("<I4s")
# Field ids and kinds of parquet.thrift.
_ROW_GROUPS, _COLUMNS, _TOTAL_BYTE_SIZE, _META_DATA = (4, LIST), (1, LIST), (2, I64), (3, STRUCT)
_NUM_VALUES, _UNCOMPRESSED, _COMPRESSED = (5, I64), (6, I64), (7, I64)
_DATA_PAGE, _DICTIONARY_PAGE = (9, I64), (11, I64)


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Sizes of a row group.

    Attributes:
        size: bytes of its pages, uncompressed.
        values: number of values of each leaf column, nulls included.
        spans: first byte and number of bytes of each leaf column's pages.
    """

    size: int
    values: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]


def read_row_groups(file: pa.NativeFile) -> list[RowGroup]:
    """Sizes of all row groups, as the footer claims them.

    Raises:
        ValueError: the footer is damaged.
    """
    end = file.size() - _TAIL.size
    length, _ = _TAIL.unpack(bytes(file.read_at(_TAIL.size, end)))
    if not 0 < length <= end:
        raise ValueError("the footer is longer than the file")
    try:
        footer = CompactReader(bytes(file.read_at(length, end - length))).structure()
        return [_row_group(group) for group in footer.get(_ROW_GROUPS, ())]
    except (IndexError, struct.error, TypeError, AttributeError) as error:
        raise ValueError("the footer is damaged") from error


def _row_group(group: dict[tuple[int, int], Any]) -> RowGroup:
    chunks = [chunk[_META_DATA] for chunk in group.get(_COLUMNS, ()) if _META_DATA in chunk]
    sizes = sum(chunk.get(_UNCOMPRESSED, 0) for chunk in chunks)
    return RowGroup(
        size=max(group.get(_TOTAL_BYTE_SIZE, 0), sizes),
        values=tuple(chunk.get(_NUM_VALUES, 0) for chunk in chunks),
        spans=tuple(_span(chunk) for chunk in chunks),
    )


def _span(chunk: dict[tuple[int, int], Any]) -> tuple[int, int]:
    first, dictionary = chunk.get(_DATA_PAGE, 0), chunk.get(_DICTIONARY_PAGE, 0)
    return min(first, dictionary) if dictionary > 0 else first, chunk.get(_COMPRESSED, 0)
