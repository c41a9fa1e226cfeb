"""Side-cars: Arrow data streamed into one Parquet file of the store, whole or not at all."""

from __future__ import annotations

import io
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lazaretto.storage.store import Store
    from lazaretto.values import StoredFile

# Dictionary encoding and statistics make vectors eight times slower to read back, for nothing.
_OPTIONS: dict[str, Any] = {
    "compression": "zstd",
    "use_dictionary": False,
    "write_statistics": False,
}


_FEW, _MANY = 1024, 2**16
"""Rows at a time, where few or many of them are wanted."""


class _Sink(io.RawIOBase):
    """Keeps what the Parquet writer wrote until the store asks for it."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        return len(part)

    def drain(self) -> bytes:
        parts, self._parts = b"".join(self._parts), []
        return parts


def write_parquet(
    store: Store,
    path: str,
    schema: pa.Schema,
    chunks: Iterable[pa.RecordBatch | pa.Table],
    *,
    bounds: Sequence[str] = (),
) -> StoredFile:
    """Streams chunks into a Parquet file; memory holds one row group.

    Args:
        store: where to.
        path: relative to its root; ``{sha256}`` in it stands for the digest of the file.
        schema: of the file.
        chunks: its rows; each becomes a row group.
        bounds: columns of which each row group says the least and the greatest value, so that
            `keyed_chunks` finds some rows without reading the others.

    Raises:
        ChangedFileError: a file of that name is there with other bytes.
        SystemFaultError: the store cannot be written.
    """
    options = {**_OPTIONS, "write_statistics": list(bounds) or False}
    return store.put(path, encoded(schema, chunks, options))


def write_table(store: Store, path: str, table: pa.Table) -> StoredFile:
    """Writes a table in memory; see `write_parquet`."""
    return write_parquet(store, path, table.schema, [table])


def read_table(store: Store, file: StoredFile, *, columns: list[str] | None = None) -> pa.Table:
    """Reads a side-car back.

    Raises:
        ChangedFileError: it is gone, or is not the one that is on record.
    """
    with store.open(file) as opened:
        # Not `pq.read_table`, which loads Arrow's datasets for one file. In this thread alone: one
        # of Arrow's that still holds our file when the process ends would abort it.
        return pq.ParquetFile(opened, pre_buffer=False).read(columns=columns, use_threads=False)


def read_schema(store: Store, file: StoredFile) -> pa.Schema:
    """Columns of a side-car.

    Raises:
        ChangedFileError: it is gone, or is not the one that is on record.
    """
    with store.open(file) as opened:
        return pq.read_schema(opened)


def read_chunks(
    store: Store, file: StoredFile, *, columns: list[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Streams a side-car back in order; memory holds one row group.

    Raises:
        ChangedFileError: it is gone, or is not the one that is on record.
    """
    with store.open(file) as opened:
        # Read ahead, Arrow would keep every row group until the last.
        parquet = pq.ParquetFile(opened, pre_buffer=False)
        yield from parquet.iter_batches(columns=columns, use_threads=False)


def row_groups(store: Store, file: StoredFile) -> Iterator[pa.Table]:
    """Streams a side-car back as it was written: a table for each row group.

    Raises:
        ChangedFileError: it is gone, or is not the one that is on record.
    """
    with store.open(file) as opened:
        parquet = pq.ParquetFile(opened, pre_buffer=False)
        for number in range(parquet.num_row_groups):
            yield parquet.read_row_group(number, use_threads=False)


def read_stretch(store: Store, file: StoredFile, first: int, rows: int) -> pa.Table:
    """Rows of a side-car that lie behind each other; only their row groups are read.

    Args:
        store: where it lies.
        file: what is on record.
        first: number of the first row, from 0.
        rows: how many.

    Raises:
        ChangedFileError: it is gone, or is not the one that is on record.
    """
    with store.open(file) as opened:
        parquet = pq.ParquetFile(opened, pre_buffer=False)
        counts = [
            parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)
        ]
        starts = list(accumulate(counts, initial=0))
        wanted = [
            group
            for group, start in enumerate(starts[:-1])
            if start < first + rows and starts[group + 1] > first
        ]
        found = parquet.read_row_groups(wanted, use_threads=False)
    return found.slice(first - starts[wanted[0]] if wanted else 0, rows)


def read_numbered(
    store: Store, file: StoredFile, numbers: Sequence[int], *, columns: list[str] | None = None
) -> pa.Table:
    """Some rows of a side-car by their number from 0, in that order, each once.

    Only the row groups are read that have one of them.

    Raises:
        ChangedFileError: it is gone, or is not the one that is on record.
    """
    wanted = sorted(set(numbers))
    with store.open(file) as opened:
        parquet = pq.ParquetFile(opened, pre_buffer=False)
        groups = range(parquet.num_row_groups)
        ends = list(accumulate(parquet.metadata.row_group(group).num_rows for group in groups))
        parts = []
        for group in sorted({bisect_right(ends, number) for number in wanted} & set(groups)):
            first = ends[group - 1] if group else 0
            chunks = parquet.iter_batches(
                _FEW, row_groups=[group], columns=columns, use_threads=False
            )
            for rows in chunks:
                inside = [n - first for n in wanted if first <= n < first + rows.num_rows]
                parts += [rows.take(pa.array(inside))] if inside else []
                first += rows.num_rows
        schema = _selected(parquet.schema_arrow, columns)
    return pa.Table.from_batches(parts, schema)


def read_keyed(
    store: Store,
    file: StoredFile,
    key: str,
    values: Sequence[int],
    *,
    columns: list[str] | None = None,
) -> pa.Table:
    """The rows of a side-car whose key is among some values; see `keyed_chunks`."""
    wanted = pa.array(sorted(set(values)), pa.int64())
    chunks = list(keyed_chunks(store, file, key, wanted, columns=columns, at_once=_FEW))
    return pa.Table.from_batches(chunks)


def keyed_chunks(
    store: Store,
    file: StoredFile,
    key: str,
    values: pa.Array,
    *,
    columns: list[str] | None = None,
    at_once: int = _MANY,
) -> Iterator[pa.RecordBatch]:
    """Streams the rows of a side-car whose key is among some values, in the file's order.

    Only the row groups are read that may have one of them; see `write_parquet` for `bounds`.

    Args:
        store: where it lies.
        file: what is on record.
        key: a column of whole numbers.
        values: of it, ascending int64.
        columns: to read; the key is one of them. None for all.
        at_once: rows that memory holds.

    Returns:
        Chunks, some of them empty: there is always one, to see the columns by.

    Raises:
        ChangedFileError: it is gone, or is not the one that is on record.
    """
    with store.open(file) as opened:
        parquet = pq.ParquetFile(opened, pre_buffer=False)
        groups = _groups_with(parquet, key, values)
        if not groups:
            schema = _selected(parquet.schema_arrow, columns)
            yield pa.RecordBatch.from_arrays([pa.nulls(0, f.type) for f in schema], schema=schema)
            return
        for rows in parquet.iter_batches(
            at_once, row_groups=groups, columns=columns, use_threads=False
        ):
            yield rows.filter(pc.is_in(rows.column(key), values))


def _selected(schema: pa.Schema, columns: list[str] | None) -> pa.Schema:
    return schema if columns is None else pa.schema([schema.field(name) for name in columns])


def _groups_with(parquet: pq.ParquetFile, key: str, values: pa.Array) -> list[int]:
    """Row groups that may have one of the values; all of those that do not say their bounds."""
    sought, found = values.to_numpy(), []
    paths = [parquet.schema.column(number).path for number in range(len(parquet.schema))]
    place = paths.index(key)
    for number in range(parquet.num_row_groups):
        said = parquet.metadata.row_group(number).column(place).statistics
        if said is not None and said.has_min_max:
            first = np.searchsorted(sought, said.min)
            if first == len(sought) or sought[first] > said.max:
                continue
        found.append(number)
    return found


def encoded(
    schema: pa.Schema,
    chunks: Iterable[pa.RecordBatch | pa.Table],
    options: Mapping[str, Any] = _OPTIONS,
) -> Iterator[bytes]:
    """The bytes of a Parquet file with these rows, chunk by chunk.

    Args:
        schema: of the file.
        chunks: its rows; each becomes a row group or more.
        options: of `pyarrow.parquet.ParquetWriter`.
    """
    sink = _Sink()
    with pq.ParquetWriter(sink, schema, **options) as writer:
        for chunk in chunks:
            table = chunk if isinstance(chunk, pa.Table) else pa.Table.from_batches([chunk])
            writer.write_table(table.cast(schema))
            yield sink.drain()
    yield sink.drain()
