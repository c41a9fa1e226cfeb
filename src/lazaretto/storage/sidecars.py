"""Side-cars: Arrow data streamed into one Parquet file of the store, whole or not at all."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lazaretto.storage.store import Store

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
    store: Store, path: str, schema: pa.Schema, chunks: Iterable[pa.RecordBatch | pa.Table]
) -> tuple[str, str]:
    """Streams chunks into a Parquet file; memory holds one row group.

    Returns:
        Its URI, and the sha256 (hex) of its bytes.

    Raises:
        SystemFaultError: the store cannot be written.
    """
    return store.write_stream(path, _encoded(schema, chunks))


def write_table(store: Store, path: str, table: pa.Table) -> tuple[str, str]:
    """Writes a table in memory; see `write_parquet`."""
    return write_parquet(store, path, table.schema, [table])


def read_table(store: Store, uri: str, *, columns: list[str] | None = None) -> pa.Table:
    """Reads a side-car back.

    Raises:
        NotFoundError: it is not there (any more).
    """
    with store.open(store.relative(uri)) as file:
        return pq.read_table(file, columns=columns)


def read_schema(store: Store, uri: str) -> pa.Schema:
    """Columns of a side-car.

    Raises:
        NotFoundError: it is not there (any more).
    """
    with store.open(store.relative(uri)) as file:
        return pq.read_schema(file)


def read_chunks(store: Store, uri: str) -> Iterator[pa.RecordBatch]:
    """Streams a side-car back in order.

    Raises:
        NotFoundError: it is not there (any more).
    """
    with store.open(store.relative(uri)) as file:
        # Read ahead, Arrow would keep every row group until the last.
        yield from pq.ParquetFile(file, pre_buffer=False).iter_batches()


def _encoded(schema: pa.Schema, chunks: Iterable[pa.RecordBatch | pa.Table]) -> Iterator[bytes]:
    sink = _Sink()
    with pq.ParquetWriter(sink, schema, **_OPTIONS) as writer:
        for chunk in chunks:
            table = chunk if isinstance(chunk, pa.Table) else pa.Table.from_batches([chunk])
            writer.write_table(table.cast(schema))
            yield sink.drain()
    yield sink.drain()
