"""Batch: one immutable delivery, streamed in chunks from its canonical copy."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING

import pyarrow as pa

from lazaretto.batch._canonical import RECORD, ids_made_of, read_chunks, read_head
from lazaretto.batch._digest import ContentDigest
from lazaretto.batch._fixes import Fixes
from lazaretto.batch._ids import check_ids, record_ids
from lazaretto.batch._plain import plain_array, plain_type
from lazaretto.errors import SystemFaultError, UsageError
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lazaretto.batch._stretch import Stretch
    from lazaretto.policy import Columns

CHUNK_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of a delivery. Nothing but names and types is read until asked.

    Attributes:
        name: where it was delivered, for messages.
        schema: columns in plain types (no dictionaries, no extension types), without metadata.
        num_rows: number of records.
        ids_of: column of which the record ids in the copy are made; None: of whole records.
    """

    name: str
    schema: pa.Schema
    num_rows: int
    ids_of: str | None
    _file: IO[bytes] = field(repr=False, compare=False)
    _fixes: Fixes | None = field(default=None, repr=False, compare=False)
    _stretch: Stretch | None = field(default=None, repr=False, compare=False)

    def extents(self) -> list[int]:
        """Records of each chunk of the copy, in order; the column of ids is read.

        Raises:
            SystemFaultError: the copy cannot be read.
        """
        return [chunk.num_rows for chunk in self._stored([RECORD])]

    def stretch(self, stretch: Stretch) -> Batch:
        """Some of its records, with the ids and values that they have in the whole."""
        return replace(self, num_rows=stretch.rows, _stretch=stretch)

    def fixed(self, fixes: pa.Table) -> Batch:
        """The same records, under the same ids, with mended values in the place of their own.

        Args:
            fixes: ``position``, ``column`` and ``fixed``: text for a column of texts.
        """
        return replace(self, _fixes=Fixes.of(fixes))

    def chunks(
        self, *, columns: Sequence[str] | None = None, size: int = CHUNK_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """Streams the records in order.

        Args:
            columns: top-level columns to read, in this order; default all.
            size: most rows of a chunk. Chunks may be smaller; none is empty.

        Raises:
            UsageError: a column that the batch does not have.
            SystemFaultError: the copy cannot be read.
        """
        offset = self._offset
        for stored in self._stored(self._named(columns)):
            chunk = self._mended(stored, offset)
            offset += chunk.num_rows
            for start in range(0, chunk.num_rows, size):
                yield chunk.slice(start, size)

    def table(self, *, columns: Sequence[str] | None = None) -> pa.Table:
        """All records in memory; see `chunks`."""
        names = self._named(columns)
        schema = pa.schema([self.schema.field(name) for name in names])
        return pa.Table.from_batches(self.chunks(columns=names), schema=schema)

    def digest(self) -> str:
        """sha256 (hex) of the canonical content: columns, types, order, values and nulls.

        The same records give the same digest in Parquet and in Arrow IPC, in chunks of any size,
        with any compression or dictionary encoding. CSV and JSON Lines agree with them where their
        types do.
        """
        digest = ContentDigest(self.schema)
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()

    def records(
        self, ids: Columns, *, columns: Sequence[str] | None = None, size: int = CHUNK_ROWS
    ) -> Iterator[tuple[pa.Array, pa.RecordBatch]]:
        """Streams the records with their ids; see the function `records`."""
        names = self._named(columns)
        offset, taken = self._offset, 0
        if ids_made_of(self.schema.names, ids) == self.ids_of:
            for chunk in self._stored([*names, RECORD]):
                mended = self._mended(chunk.select(names), offset)
                offset += chunk.num_rows
                yield from _sliced(chunk.column(len(names)), mended, size)
            return
        for chunk in self._stored(self.schema.names):
            made = record_ids(chunk, ids, offset=offset)
            mended = self._mended(chunk.select(names), offset)
            offset, taken = offset + chunk.num_rows, taken + made.nbytes
            check_ids(taken, self.name)
            yield from _sliced(made, mended, size)

    @property
    def _offset(self) -> int:
        return 0 if self._stretch is None else self._stretch.offset

    def _mended(self, chunk: pa.RecordBatch, offset: int) -> pa.RecordBatch:
        return chunk if self._fixes is None else self._fixes.applied(chunk, offset)

    def _named(self, columns: Sequence[str] | None) -> list[str]:
        names = self.schema.names if columns is None else list(columns)
        if missing := [name for name in names if name not in self.schema.names]:
            raise UsageError(
                f"{self.name} has no column {missing[0]!r}; it has {self.schema.names}"
            )
        return names

    def _stored(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        rows, numbers = 0, None if self._stretch is None else self._stretch.numbers
        try:
            for chunk in read_chunks(self._file, names, numbers):
                rows += chunk.num_rows
                yield chunk
        except (pa.ArrowException, OSError, KeyError) as error:
            raise SystemFaultError(
                f"the canonical copy of {self.name} cannot be read: {error_line(error)}"
            ) from error
        if rows != self.num_rows:
            raise SystemFaultError(
                f"the canonical copy of {self.name} has {rows:,} records instead of "
                f"{self.num_rows:,}"
            )


def open_canonical(file: IO[bytes], *, rows: int, name: str) -> Batch:
    """Opens a canonical copy, as `lazaretto.batch.decode` writes it.

    Args:
        file: it, seekable and open for reading; the batch reads from it as long as it lives.
        rows: number of its records.
        name: where it was delivered, for messages.

    Raises:
        SystemFaultError: this is no canonical copy.

    Examples:
        >>> from pathlib import Path
        >>> from lazaretto.batch import decode
        >>> from lazaretto.policy import Limits
        >>> Path("canonical").mkdir()
        >>> decoded = decode(
        ...     Path("monday.parquet"),
        ...     Path("canonical"),
        ...     name="monday",
        ...     format="parquet",
        ...     limits=Limits(),
        ... )
        >>> with open(decoded.path, "rb") as file:
        ...     open_canonical(file, rows=decoded.rows, name="monday").num_rows
        60
    """
    try:
        schema, made_of = read_head(file)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise SystemFaultError(
            f"the canonical copy of {name} cannot be read: {error_line(error)}"
        ) from error
    return Batch(name, schema, rows, made_of, file)


def as_chunks(
    data: Batch | pa.Table, *, columns: Sequence[str] | None = None, size: int = CHUNK_ROWS
) -> Iterator[pa.RecordBatch]:
    """Chunks of a batch or of a table in memory, alike: plain types, at most `size` rows.

    Examples:
        >>> [chunk.num_rows for chunk in as_chunks(pa.table({"a": [1, 2, 3]}), size=2)]
        [2, 1]
    """
    if isinstance(data, Batch):
        yield from data.chunks(columns=columns, size=size)
        return
    table = data if columns is None else data.select(list(columns))
    schema = pa.schema([pa.field(f.name, plain_type(f.type)) for f in table.schema])
    for chunk in table.to_batches(max_chunksize=size):
        if chunk.num_rows:
            yield pa.RecordBatch.from_arrays(
                [plain_array(column) for column in chunk.columns], schema=schema
            )


def records(
    data: Batch | pa.Table,
    ids: Columns,
    *,
    columns: Sequence[str] | None = None,
    size: int = CHUNK_ROWS,
) -> Iterator[tuple[pa.Array, pa.RecordBatch]]:
    """Chunks of a batch or of a table in memory, each with the ids of its records.

    A batch has its ids in store; where they are made of another column than `ids` names, and for a
    table, they are made of the records as `record_ids` makes them, and all columns are read.

    Args:
        data: the records.
        ids: the policy's columns: of which one ids are made.
        columns: top-level columns of the chunks, in this order; default all.
        size: most rows of a chunk.

    Yields:
        Ids, a string array without nulls, and the chunk of the same length. What is kept of them
        should be a copy: see `own`.

    Raises:
        DeliveryError: code ``too_large``: the ids take more than half a gigabyte; later stages
            keep them in memory.

    Examples:
        >>> from lazaretto.policy import Columns
        >>> table = pa.table({"id": ["a", "b"], "text": ["x", "y"]})
        >>> for ids, chunk in records(table, Columns(record_id="id"), columns=["text"]):
        ...     print(ids.to_pylist(), chunk.column_names)
        ['a', 'b'] ['text']
    """
    if isinstance(data, Batch):
        yield from data.records(ids, columns=columns, size=size)
        return
    names, offset = data.schema.names if columns is None else list(columns), 0
    for chunk in as_chunks(data, size=size):
        yield record_ids(chunk, ids, offset=offset), chunk.select(names)
        offset += chunk.num_rows


def own(values: pa.Array) -> pa.Array:
    """A copy, to be kept: the columns of a chunk share one buffer, and each keeps all of it.

    Examples:
        >>> own(pa.array([1, 2, 3]).slice(1)).to_pylist()
        [2, 3]
    """
    return pa.concat_arrays([values, values.slice(0, 0)])


def table_digest(table: pa.Table) -> str:
    """Content digest of a table in memory; equals `Batch.digest` of the same records in a file.

    Examples:
        >>> from lazaretto.batch import open_batch
        >>> import pyarrow.parquet as pq
        >>> table_digest(pq.read_table("monday.parquet")) == open_batch("monday.parquet").digest()
        True
    """
    digest = ContentDigest(table.schema)
    for chunk in table.to_batches(max_chunksize=CHUNK_ROWS):
        digest.update(chunk)
    return digest.hexdigest()


def batch_id(source: str, digest: str) -> str:
    """Name of a batch: ``{source}/{32 hex of the content digest}``.

    Source and full digest are its identity, whatever the clock says: the same delivery gets the
    same name on another day, and after a restore. Whoever gives it out checks that it is free.

    Examples:
        >>> batch_id("vendor", "0123456789abcdef" * 4)
        'vendor/0123456789abcdef0123456789abcdef'
    """
    return f"{source}/{digest[:32]}"


def _sliced(
    ids: pa.Array, chunk: pa.RecordBatch, size: int
) -> Iterator[tuple[pa.Array, pa.RecordBatch]]:
    for start in range(0, len(ids), size):
        yield ids.slice(start, size), chunk.slice(start, size)
