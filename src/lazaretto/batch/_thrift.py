"""Reads structs of Thrift's compact protocol, as far as Parquet's metadata need it.

https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from typing import Any

_MAX_DEPTH = 16
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_INTEGERS = (4, 5, 6)
I32, I64, LIST, STRUCT = 5, 6, _LIST, _STRUCT
"""Kinds of fields, as `CompactReader.structure` names them."""


class CompactReader:
    """A cursor over compact Thrift. Every item takes at least one byte, so no count can lie.

    Raises:
        ValueError: what is read is damaged, or goes on beyond the data.
        IndexError: the data end within it.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def position(self) -> int:
        """Bytes that were read."""
        return self._at

    def structure(self, depth: int = 0) -> dict[tuple[int, int], Any]:
        """Fields of a struct, by id and kind; of a field that comes twice, the last.

        As in Thrift's own readers a field of another kind than expected is one that is not there:
        else a decoy could be shown to whoever asks by id alone.
        """
        if depth > _MAX_DEPTH:
            raise ValueError("it is nested too deep")
        fields: dict[tuple[int, int], Any] = {}
        number = 0
        while head := self._byte():
            step, kind = head >> 4, head & 15
            number = number + step if step else self._zigzag()
            bare = kind in (_TRUE, _FALSE)
            fields[number, kind] = kind == _TRUE if bare else self._value(kind, depth)
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
        raise ValueError(f"it has a field of unknown kind {kind}")

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
                raise ValueError("it has a number that is too long")

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
            raise ValueError("it counts more than it holds")
