"""Content digests: sha256 over canonical values, however the records are stored or chunked.

A digest covers column names, column order, logical types, row order, every value and every null. It
does not cover what is only storage: file format, compression, chunk and row-group sizes, dictionary
encoding, 32- or 64-bit offsets, fixed-size against variable-size lists, timestamp units, schema
metadata.

Each leaf of the schema has its own running sha256; the header and all leaf digests are hashed at
the end.
"""

from __future__ import annotations

import hashlib
import json
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.batch._plain import describe_type, is_list, list_items, plain_array, plain_type

if TYPE_CHECKING:
    from collections.abc import Iterator

_DOMAIN = b"lazaretto-content-v1\0"
_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
# Rows whose canonical bytes are in memory at once when single records are hashed.
_HASH_ROWS = 8192


class ContentDigest:
    """Running digest over record batches of one schema.

    Raises:
        TypeError: the schema has a type without canonical form (unions, run-end encoding,
            intervals).
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._names = list(schema.names)
        self._nodes = [_Node(plain_type(field.type)) for field in schema]
        self._rows = 0

    def update(self, chunk: pa.RecordBatch) -> None:
        """Adds the records of a chunk, whose columns must be those of the schema, in its order."""
        self._rows += chunk.num_rows
        for node, column in zip(self._nodes, chunk.columns, strict=True):
            node.update(column)

    def hexdigest(self) -> str:
        """The digest of all records so far: 64 hex digits."""
        columns = [[name, node.kind] for name, node in zip(self._names, self._nodes, strict=True)]
        header = json.dumps(
            {"rows": self._rows, "columns": columns}, separators=(",", ":")
        ).encode()
        total = hashlib.sha256(_DOMAIN + len(header).to_bytes(8, "little") + header)
        for node in self._nodes:
            for leaf in node.leaves():
                total.update(leaf)
        return total.hexdigest()


class _Node:
    """One column or nested field: where its nulls are, how long its values are, and the values."""

    def __init__(self, kind: pa.DataType) -> None:
        self._type = kind
        self.kind = describe_type(kind)
        self._count = 0
        self._shape = hashlib.sha256()
        self._data = hashlib.sha256()
        self._children = [_Node(child) for child in _child_types(kind)]

    def update(self, values: pa.Array) -> None:
        values = plain_array(values)
        if values.null_count:
            nulls = np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False)) + self._count
            self._shape.update(_bytes(nulls.astype("<i8")))
        self._count += len(values)
        if pa.types.is_null(self._type):
            return
        values = values.drop_null()
        if pa.types.is_struct(self._type):
            for child, column in zip(self._children, values.flatten(), strict=True):
                child.update(column)
        elif is_list(self._type):
            self._data.update(_bytes(list_lengths(values)))
            self._children[0].update(list_items(values))
        else:
            for part in _leaf_bytes(values):
                self._data.update(part)

    def leaves(self) -> Iterator[bytes]:
        yield self._count.to_bytes(8, "little")
        yield self._shape.digest()
        yield self._data.digest()
        for child in self._children:
            yield from child.leaves()


def row_hashes(chunk: pa.RecordBatch) -> list[str]:
    """Hash of each record by itself: 16 hex digits, equal for equal records of equal columns."""
    hashes: list[str] = []
    for start in range(0, chunk.num_rows, _HASH_ROWS):
        part = chunk.slice(start, _HASH_ROWS)
        header = json.dumps(
            [[f.name, describe_type(plain_type(f.type))] for f in chunk.schema],
            separators=(",", ":"),
        ).encode()
        columns = [row_bytes(column) for column in part.columns]
        base = hashlib.sha256(b"lazaretto-record-v1\0" + header)
        for values in zip(*columns, strict=True) if columns else ((),) * part.num_rows:
            record = base.copy()
            for value in values:
                record.update(len(value).to_bytes(8, "little"))
                record.update(value)
            hashes.append(record.hexdigest()[:16])
    return hashes


def _child_types(kind: pa.DataType) -> list[pa.DataType]:
    if pa.types.is_struct(kind):
        return [plain_type(field.type) for field in kind]
    if pa.types.is_map(kind):
        return [pa.struct([kind.key_field, kind.item_field])]
    return [plain_type(kind.value_type)] if is_list(kind) else []


def list_lengths(values: pa.Array) -> np.ndarray[Any, Any]:
    """Items of each list, int64, of an array without nulls."""
    if pa.types.is_map(values.type):
        return np.asarray(np.diff(values.offsets.to_numpy()), dtype="<i8")
    lengths = pc.list_value_length(values).to_numpy(zero_copy_only=False)
    return np.asarray(lengths, dtype="<i8")


def _leaf_bytes(values: pa.Array) -> Iterator[Any]:
    """Canonical little-endian bytes of a leaf array without nulls."""
    kind, t = values.type, pa.types
    if describe_type(kind) in ("string", "binary"):
        data = values.cast(pa.large_binary())
        offsets = np.frombuffer(data.buffers()[1], "<i8", len(data) + 1, data.offset * 8)
        # Lengths and bytes in one stream would depend on the chunking; so each value follows its
        # length.
        yield from _prefixed(offsets, data.buffers()[2])
    elif t.is_boolean(kind):
        yield _bytes(values.cast(pa.uint8()).to_numpy())
    elif t.is_date(kind):
        yield _bytes(values.cast(pa.date32(), safe=False).cast(pa.int32()).to_numpy().astype("<i4"))
    elif t.is_timestamp(kind) or t.is_duration(kind) or t.is_time(kind):
        per_second = _UNITS[kind.unit]
        ticks = (
            values.cast(pa.int32() if t.is_time32(kind) else pa.int64()).to_numpy().astype("<i8")
        )
        seconds, rest = np.divmod(ticks, per_second)
        yield _bytes(np.stack([seconds, rest * (10**9 // per_second)], axis=1).astype("<i8"))
    elif t.is_decimal(kind):
        wide = values.cast(pa.decimal256(76, kind.scale))
        yield memoryview(wide.buffers()[1])[wide.offset * 32 : (wide.offset + len(wide)) * 32]
    else:
        yield _bytes(values.to_numpy())


def _prefixed(
    offsets: np.ndarray[Any, Any], data: pa.Buffer | None
) -> Iterator[bytes | memoryview]:
    """Each value after its length, as one flat byte array: (length int64, bytes) per value."""
    lengths = np.diff(offsets).astype("<i8")
    if not len(lengths):
        return
    total = int(offsets[-1] - offsets[0])
    out = np.empty(total + 8 * len(lengths), dtype=np.uint8)
    starts = (offsets[:-1] - offsets[0]) + 8 * np.arange(len(lengths))
    heads = (starts[:, None] + np.arange(8)).ravel()
    body = np.ones(len(out), dtype=bool)
    body[heads] = False
    out[heads] = lengths.view(np.uint8)
    if total and data is not None:
        out[body] = np.frombuffer(data, np.uint8, total, int(offsets[0]))
    yield out.data


def row_bytes(column: pa.Array) -> list[bytes]:
    """Canonical bytes of each row: b"n" for null, else b"v" and the value."""
    values = plain_array(column)
    if pa.types.is_null(values.type):
        return [b"n"] * len(values)
    present = values.is_valid().to_numpy(zero_copy_only=False)
    dense = values.drop_null()
    cells = iter(_cells(dense))
    return [b"v" + next(cells) if there else b"n" for there in present.tolist()]


def _cells(values: pa.Array) -> Iterator[bytes]:
    """Canonical bytes of each value of an array without nulls."""
    if pa.types.is_struct(values.type):
        columns = [row_bytes(child) for child in values.flatten()]
        for cells in zip(*columns, strict=True) if columns else ((),) * len(values):
            yield b"".join(len(cell).to_bytes(8, "little") + cell for cell in cells)
    elif is_list(values.type):
        items, stop = plain_array(list_items(values)), 0
        fixed = _fixed_width(items)
        # A few thousand at a time: as Python objects, they take many times their bytes.
        parts = (items.slice(start, _HASH_ROWS) for start in range(0, len(items), _HASH_ROWS))
        cells_of_items = (cell for part in parts for cell in row_bytes(part))
        for length in list_lengths(values).tolist():
            start, stop = stop, stop + length
            if fixed is not None:
                yield fixed[0][start:stop].tobytes() + fixed[1][start:stop].tobytes()
            else:
                joined = bytearray()
                for cell in islice(cells_of_items, length):
                    joined += len(cell).to_bytes(8, "little") + cell
                yield bytes(joined)
    elif describe_type(values.type) in ("string", "binary"):
        for value in values.cast(pa.large_binary()):
            yield value.as_py()
    else:
        flat = b"".join(bytes(part) for part in _leaf_bytes(values))
        width = len(flat) // len(values) if len(values) else 0
        yield from (flat[start : start + width] for start in range(0, len(flat), width or 1))


def _fixed_width(values: pa.Array) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
    """Presence (n,) and bytes (n, width; zero where null) of numbers; None for other types."""
    t = pa.types
    if not (t.is_integer(values.type) or t.is_floating(values.type) or t.is_boolean(values.type)):
        return None
    present = values.is_valid().to_numpy(zero_copy_only=False)
    width = max(1, values.type.bit_width // 8)
    dense = b"".join(_leaf_bytes(values.drop_null()))
    cells = np.frombuffer(dense, np.uint8).reshape(-1, width)
    if not values.null_count:
        return present, cells
    out = np.zeros((len(values), width), dtype=np.uint8)
    out[present] = cells
    return present, out


def _bytes(array: np.ndarray[Any, Any]) -> memoryview:
    return np.ascontiguousarray(array).data.cast("B") if array.size else memoryview(b"")
