"""Side-cars: Arrow data streamed into one Parquet file of the store, whole or not at all."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from lazaretto.storage.store import Store
    from lazaretto.values import StoredFile

# Dictionary encoding and statistics make vectors eight times slower to read back, for nothing.
_OPTIONS: dict[str, Any] = {
    "compression": "zstd",
    "use_dictionary": False,
    "write_statistics": False,
}


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
            `read_rows_with` finds some rows without reading the others.

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


def read_rows_with(
    store: Store,
    file: StoredFile,
    column: str,
    values: pa.Array,
    *,
    columns: Collection[str] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Streams rows that have one of some numbers in a column; see `write_parquet` for `bounds`.

    Args:
        store: where it is.
        file: as it is on record.
        column: of integers.
        values: of the column's type, ascending.
        columns: only these, as far as the file has them, and `column`.

    Returns:
        Chunks in order, some of them empty, so that there is always one to see the columns by.

    Raises:
        ChangedFileError: it is gone, or is not the one that is on record.
    """
    with store.open(file) as opened:
        parquet = pq.ParquetFile(opened, pre_buffer=False)
        wanted = None
        if columns is not None:
            wanted = [name for name in parquet.schema_arrow.names if name in {*columns, column}]
        groups = _groups_with(parquet, column, values) or [0]
        for chunk in parquet.iter_batches(row_groups=groups, columns=wanted, use_threads=False):
            yield chunk.filter(pc.is_in(chunk.column(column), values))


def _groups_with(parquet: pq.ParquetFile, column: str, values: pa.Array) -> list[int]:
    """Row groups that may have one of the values; all of those that do not say their bounds."""
    sought, found = values.to_numpy(), []
    paths = [parquet.schema.column(number).path for number in range(len(parquet.schema))]
    place = paths.index(column)
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
