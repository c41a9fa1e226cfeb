"""Reading Arrow IPC files: the sizes that messages claim are checked before any is decoded.

A compressed buffer starts with its uncompressed length, so a file of a few kilobytes can ask for
terabytes. pyarrow shows neither those lengths nor a message's row count, so this file reads the few
flatbuffer fields that hold them (format:
https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from lazaretto.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.policy import Limits

_TAIL = struct.Struct("<i6s")
_BLOCK = struct.Struct("<qi4xq")
_PAIR = struct.Struct("<qq")
_FOOTER_DICTIONARIES, _FOOTER_BATCHES = 2, 3
_MESSAGE_HEADER, _DICTIONARY_DATA = 2, 1
_BATCH_LENGTH, _BATCH_NODES, _BATCH_BUFFERS, _BATCH_COMPRESSION = 0, 1, 2, 3


def count_rows(file: pa.NativeFile, limits: Limits, name: str) -> int:
    """Number of records, after checking what each message claims against the limits.

    Raises:
        DeliveryError: ``row_group_too_large``, or ``unreadable`` for messages that do not parse.
    """
    try:
        return sum(_check_messages(file, limits, name))
    except (struct.error, IndexError, OverflowError, pa.ArrowInvalid, OSError) as error:
        raise DeliveryError(
            f"{name}: the Arrow file's footer is damaged", code="unreadable"
        ) from error


def read_batches(file: pa.NativeFile) -> Iterator[pa.RecordBatch]:
    """The file's record batches, one at a time."""
    reader = pa.ipc.open_file(file)
    for index in range(reader.num_record_batches):
        yield reader.get_batch(index)


class _Table(NamedTuple):
    """A flatbuffer table: its bytes and where it starts."""

    data: bytes
    at: int

    def _slot(self, field: int) -> int:
        vtable = self.at - _unpack("<i", self.data, self.at)
        place = 4 + 2 * field
        if place >= _unpack("<H", self.data, vtable):
            return 0
        offset = _unpack("<H", self.data, vtable + place)
        return self.at + offset if offset else 0

    def number(self, field: int) -> int:
        slot = self._slot(field)
        return _unpack("<q", self.data, slot) if slot else 0

    def table(self, field: int) -> _Table | None:
        slot = self._slot(field)
        return _Table(self.data, slot + _unpack("<I", self.data, slot)) if slot else None

    def structs(self, field: int, layout: struct.Struct) -> list[tuple[int, ...]]:
        slot = self._slot(field)
        if not slot:
            return []
        start = slot + _unpack("<I", self.data, slot)
        count = _unpack("<I", self.data, start)
        end = start + 4 + count * layout.size
        if end > len(self.data):
            raise IndexError("vector past the end")
        return list(layout.iter_unpack(self.data[start + 4 : end]))


def _unpack(layout: str, data: bytes, at: int) -> int:
    if at < 0:
        raise IndexError("offset before the start")
    return int(struct.unpack_from(layout, data, at)[0])


def _root(data: bytes) -> _Table:
    return _Table(data, _unpack("<I", data, 0))


def _check_messages(file: pa.NativeFile, limits: Limits, name: str) -> Iterator[int]:
    """Yields the row count of each record batch, having checked it and every dictionary."""
    size = file.size()
    length, _ = _TAIL.unpack(bytes(file.read_at(_TAIL.size, size - _TAIL.size)))
    if not 0 < length < size:
        raise IndexError("footer longer than the file")
    footer = _root(bytes(file.read_at(length, size - _TAIL.size - length)))
    for field in (_FOOTER_DICTIONARIES, _FOOTER_BATCHES):
        for offset, metadata_length, body_length in footer.structs(field, _BLOCK):
            if (
                min(offset, metadata_length, body_length) < 0
                or offset + metadata_length + body_length > size
            ):
                raise IndexError("message outside the file")
            metadata = bytes(file.read_at(metadata_length, offset))
            skip = 8 if metadata.startswith(b"\xff\xff\xff\xff") else 4
            batch = _root(metadata[skip:]).table(_MESSAGE_HEADER)
            if field == _FOOTER_DICTIONARIES and batch is not None:
                batch = batch.table(_DICTIONARY_DATA)
            if batch is None:
                raise IndexError("message without a header")
            _check_size(file, batch, offset + metadata_length, limits, name)
            if field == _FOOTER_BATCHES:
                yield batch.number(_BATCH_LENGTH)


def _check_size(file: pa.NativeFile, batch: _Table, body: int, limits: Limits, name: str) -> None:
    compressed = batch.table(_BATCH_COMPRESSION) is not None
    total = 0
    for offset, length in batch.structs(_BATCH_BUFFERS, _PAIR):
        claimed = length
        if compressed and length >= 8:
            claimed = max(length, struct.unpack("<q", bytes(file.read_at(8, body + offset)))[0])
        total += claimed
    items = max((length for length, _ in batch.structs(_BATCH_NODES, _PAIR)), default=0)
    rows = batch.number(_BATCH_LENGTH)
    if total > limits.max_row_group_bytes or max(items, rows) > limits.max_row_group_bytes:
        raise DeliveryError(
            f"{name}: a record batch holds {max(total, items, rows):,} bytes or items "
            f"uncompressed, more than limits.max_row_group_bytes = {limits.max_row_group_bytes:,}; "
            "write smaller record batches",
            code="row_group_too_large",
        )
