"""Reads sizes from a Parquet footer without pyarrow, whose metadata aborts on bad ones.

``ColumnChunkMetaData`` in pyarrow (26.0 at least) is made outside of any try: a footer whose size
statistics do not add up raises a C++ exception that nobody catches, and the interpreter aborts. So
what decides about decoding is read here: Thrift's compact protocol
(https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md), as far as
Parquet's FileMetaData needs it (https://github.com/apache/parquet-format, parquet.thrift).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_TAIL = struct.Struct("<I4s")
_MAX_DEPTH = 16
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_INTEGERS = (4, 5, 6)
# Field ids of parquet.thrift.
_ROW_GROUPS, _COLUMNS, _TOTAL_BYTE_SIZE, _META_DATA = 4, 1, 2, 3
_NUM_VALUES, _UNCOMPRESSED = 5, 6


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Sizes of a row group.

    Attributes:
        size: bytes of its pages, uncompressed.
        values: number of values of each leaf column, nulls included.
    """

    size: int
    values: tuple[int, ...]


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
        footer = _Reader(bytes(file.read_at(length, end - length))).structure(0)
        return [_row_group(group) for group in footer.get(_ROW_GROUPS, ())]
    except (IndexError, struct.error, TypeError, AttributeError) as error:
        raise ValueError("the footer is damaged") from error


def _row_group(group: dict[int, Any]) -> RowGroup:
    chunks = [chunk[_META_DATA] for chunk in group.get(_COLUMNS, ()) if _META_DATA in chunk]
    sizes = sum(chunk.get(_UNCOMPRESSED, 0) for chunk in chunks)
    return RowGroup(
        size=max(group.get(_TOTAL_BYTE_SIZE, 0), sizes),
        values=tuple(chunk.get(_NUM_VALUES, 0) for chunk in chunks),
    )


class _Reader:
    """A cursor over compact Thrift. Every item takes at least one byte, so no count can lie."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def structure(self, depth: int) -> dict[int, Any]:
        """Fields of a struct, by id."""
        if depth > _MAX_DEPTH:
            raise ValueError("the footer is nested too deep")
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            step, kind = head >> 4, head & 15
            number = number + step if step else self._zigzag()
            fields[number] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:  # noqa: PLR0911  one return per kind
        if kind in _INTEGERS:
            return self._zigzag()
        if kind == _BINARY:
            return self._bytes(self._varint())
        if kind == _STRUCT:
            return self.structure(depth + 1)
        if kind in (_LIST, _SET):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._varint()
            self._fits(count)
            return [self._value(head & 15, depth + 1) for _ in range(count)]
        if kind == _MAP:
            count = self._varint()
            self._fits(count)
            kinds = self._byte() if count else 0
            return [
                (self._value(kinds >> 4, depth + 1), self._value(kinds & 15, depth + 1))
                for _ in range(count)
            ]
        if kind in (_TRUE, _FALSE, _BYTE):
            return self._byte()
        if kind == _DOUBLE:
            return self._bytes(8)
        raise ValueError(f"the footer has a field of unknown kind {kind}")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("the footer has a number that is too long")

    def _byte(self) -> int:
        byte = self._data[self._at]
        self._at += 1
        return byte

    def _bytes(self, count: int) -> bytes:
        self._fits(count)
        self._at += count
        return self._data[self._at - count : self._at]

    def _fits(self, count: int) -> None:
        if count > len(self._data) - self._at:
            raise ValueError("the footer counts more than it holds")
