"""Side-cars: Arrow data streamed into one Parquet file of the store, whole or not at all."""

from __future__ import annotations

import io
from bisect import bisect_right
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

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

_FEW = 1024
"""Rows at a time, where few of them are wanted."""


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
    store: Store, path: str, schema: pa.Schema, chunks: Iterable[pa.RecordBatch | pa.Table]
) -> StoredFile:
    """Streams chunks into a Parquet file; memory holds one row group.

    Args:
        store: where to.
        path: relative to its root; ``{sha256}`` in it stands for the digest of the file.
        schema: of the file.
        chunks: its rows.

    Raises:
        ChangedFileError: a file of that name is there with other bytes.
        SystemFaultError: the store cannot be written.
    """
    return store.put(path, encoded(schema, chunks))


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
            for rows in _of_group(parquet, group, columns):
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
    """The rows of a side-car whose key is among some values, in the file's order.

    Of the row groups that have none of them, only a few keys are read.

    Args:
        store: where it lies.
        file: what is on record.
        key: a column of whole numbers, ascending, each once.
        values: of it.
        columns: to read; the key is one of them.

    Raises:
        ChangedFileError: it is gone, or is not the one that is on record.
    """
    wanted = pa.array(sorted(set(values)), pa.int64())
    with store.open(file) as opened:
        parquet = pq.ParquetFile(opened, pre_buffer=False)
        groups = range(parquet.num_row_groups)

        @cache
        def first(group: int) -> int:
            rows = next(parquet.iter_batches(1, row_groups=[group], columns=[key]))
            return int(rows.column(0)[0].as_py())

        near = {bisect_right(groups, value, key=first) - 1 for value in wanted.to_pylist()}
        parts = [
            rows.filter(pc.is_in(rows.column(key), wanted))
            for group in sorted(near & set(groups))
            for rows in _of_group(parquet, group, columns)
        ]
        schema = _selected(parquet.schema_arrow, columns)
    return pa.Table.from_batches(parts, schema)


def _of_group(
    parquet: pq.ParquetFile, group: int, columns: list[str] | None
) -> Iterator[pa.RecordBatch]:
    yield from parquet.iter_batches(_FEW, row_groups=[group], columns=columns, use_threads=False)


def _selected(schema: pa.Schema, columns: list[str] | None) -> pa.Schema:
    return schema if columns is None else pa.schema([schema.field(name) for name in columns])


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
