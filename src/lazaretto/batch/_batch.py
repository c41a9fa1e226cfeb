"""Batch: one immutable delivery, opened by URI, streamed in chunks, known by its content."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lazaretto.batch import _read_arrow, _read_parquet, _read_text
from lazaretto.batch._digest import ContentDigest
from lazaretto.batch._files import open_file, tell_format
from lazaretto.batch._ids import record_ids, text_ids, usable_ids
from lazaretto.batch._plain import expanded_bytes, plain_array, plain_type
from lazaretto.batch._schema import check_columns, check_reserved, check_width
from lazaretto.errors import DeliveryError, UsageError
from lazaretto.policy import Limits
from lazaretto.redact import safe_uri

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date
    from pathlib import Path

    from lazaretto.policy import Columns

CHUNK_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Batch:
    """An openable delivery. Nothing but its footer or header is read until asked.

    Attributes:
        uri: local path or fsspec URI of the one file.
        format: ``parquet``, ``arrow``, ``csv`` or ``jsonl``.
        schema: columns in plain types (no dictionaries, no extension types), without metadata.
        limits: bounds that reading enforces.
    """

    uri: str
    format: str
    schema: pa.Schema
    limits: Limits = field(default_factory=Limits, repr=False)
    _known: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    @property
    def num_rows(self) -> int:
        """Number of records; text formats are read through once to count them."""
        if "rows" not in self._known:
            self._known["rows"] = sum(chunk.num_rows for chunk in self.chunks())
        return self._known["rows"]

    def chunks(
        self, *, columns: Sequence[str] | None = None, size: int = CHUNK_ROWS
    ) -> Iterator[pa.RecordBatch]:
        """Streams the records in order.

        Args:
            columns: top-level columns to read, in this order; default all.
            size: most rows of a chunk. Chunks may be smaller; none is empty.

        Raises:
            UsageError: a column that the batch does not have.
            DeliveryError: ``unreadable``, or a limit is passed while reading.
        """
        names = self.schema.names if columns is None else list(columns)
        if missing := [name for name in names if name not in self.schema.names]:
            raise UsageError(
                f"{safe_uri(self.uri)} has no column {missing[0]!r}; it has {self.schema.names}"
            )
        schema = pa.schema([self.schema.field(name) for name in names])
        rows = 0
        try:
            for batch in self._batches(names, size):
                for start in range(0, batch.num_rows, size):
                    chunk = self._plain(batch.slice(start, size), schema)
                    rows += chunk.num_rows
                    self._check_rows(rows)
                    yield chunk
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise DeliveryError(
                f"{safe_uri(self.uri)}: record {rows} or one after it cannot be read: "
                f"{_brief(error)}",
                code="unreadable",
            ) from error

    def table(self, *, columns: Sequence[str] | None = None) -> pa.Table:
        """All records in memory; see `chunks`."""
        names = self.schema.names if columns is None else list(columns)
        chunks = list(self.chunks(columns=names))
        return pa.Table.from_batches(
            chunks, schema=pa.schema([self.schema.field(n) for n in names])
        )

    def digest(self) -> str:
        """sha256 (hex) of the canonical content: columns, types, order, values and nulls.

        The same records give the same digest in Parquet and in Arrow IPC, in chunks of any size,
        with any compression or dictionary encoding. CSV and JSON Lines agree with them where their
        types do.
        """
        digest, rows = ContentDigest(self.schema), 0
        for chunk in self.chunks():
            digest.update(chunk)
            rows += chunk.num_rows
        self._known["rows"] = rows
        return digest.hexdigest()

    def _batches(self, names: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        name = safe_uri(self.uri)
        if self.format == "csv":
            batches = _read_text.read_csv(self.uri, self.schema)
        elif self.format == "jsonl":
            batches = _read_text.read_jsonl(self.uri, self.schema, self.limits, name)
        else:
            with open_file(self.uri) as file:
                if self.format == "parquet":
                    yield from _read_parquet.read_batches(file, names, size, self.limits, name)
                else:
                    yield from (batch.select(names) for batch in _read_arrow.read_batches(file))
            return
        yield from (batch.select(names) for batch in batches)

    def _plain(self, chunk: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
        """The chunk in plain types, its offsets, indices and UTF-8 checked."""
        chunk.validate(full=True)
        expanded = sum(expanded_bytes(column) for column in chunk.columns)
        if expanded > self.limits.max_row_group_bytes:
            raise DeliveryError(
                f"{safe_uri(self.uri)}: {chunk.num_rows:,} records become {expanded:,} bytes when "
                "their dictionaries are decoded, more than limits.max_row_group_bytes = "
                f"{self.limits.max_row_group_bytes:,}",
                code="row_group_too_large",
            )
        columns = [plain_array(column) for column in chunk.columns]
        if not columns:
            return chunk
        return pa.RecordBatch.from_arrays(columns, schema=schema)

    def _check_rows(self, rows: int) -> None:
        if rows > self.limits.max_rows:
            raise DeliveryError(
                f"{safe_uri(self.uri)}: more than limits.max_rows = {self.limits.max_rows:,} "
                "records",
                code="too_large",
            )


def open_batch(
    uri: str | Path,
    *,
    format: str | None = None,  # noqa: A002
    limits: Limits | None = None,
    allow_reserved: bool = False,
) -> Batch:
    """Opens a delivery: tells its format, and checks footer or header against the limits.

    Args:
        uri: one file: a local path or any fsspec URI.
        format: ``parquet``, ``arrow``, ``csv`` or ``jsonl``; default by extension. The bytes must
            agree.
        limits: default `Limits()`.
        allow_reserved: accept the columns that admission adds; for files of our own, not for
            deliveries.

    Raises:
        DeliveryError: ``unreadable``, ``truncated``, ``wrong_format``, ``zero_rows``,
            ``too_large``, ``too_many_columns``, ``too_deep``, ``row_group_too_large``,
            ``line_too_long``, ``bad_column_name``, ``unsupported_type``.
    """
    limits = limits or Limits()
    uri = str(uri)
    name = safe_uri(uri)
    with open_file(uri) as file:
        if file.size() > limits.max_bytes:
            raise DeliveryError(
                f"{name}: {file.size():,} bytes, more than limits.max_bytes = {limits.max_bytes:,}",
                code="too_large",
            )
        kind = tell_format(uri, file, format)
        try:
            schema, rows = _read_head(file, uri, kind, limits)
            check_columns(schema, limits, name)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            deep = "too deeply nested" in str(error)
            raise DeliveryError(
                f"{name}: cannot be read as {kind}: {_brief(error)}",
                code="too_deep" if deep else "unreadable",
            ) from error
    if not allow_reserved:
        check_reserved(schema, name)
    plain = pa.schema([pa.field(f.name, plain_type(f.type)) for f in schema])
    batch = Batch(uri, kind, plain, limits, {} if rows is None else {"rows": rows})
    if rows is not None:
        batch._check_rows(rows)
    if rows == 0 or (rows is None and next(batch.chunks(), None) is None):
        raise DeliveryError(f"{name}: no records", code="zero_rows")
    return batch


def as_chunks(
    data: Batch | pa.Table, *, columns: Sequence[str] | None = None, size: int = CHUNK_ROWS
) -> Iterator[pa.RecordBatch]:
    """Chunks of a batch or of a table in memory, alike: plain types, at most `size` rows."""
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


def all_record_ids(data: Batch | pa.Table, columns: Columns) -> pa.Array:
    """Ids of all records, as `record_ids` gives them; other columns are read only where needed.

    Returns:
        String array without nulls, one id per record, in order.
    """
    name = columns.record_id
    if name is not None and name in data.schema.names:
        parts = [text_ids(chunk, columns) for chunk in as_chunks(data, columns=[name])]
        if all(part is not None and pc.all(usable_ids(part)).as_py() for part in parts):
            return pa.concat_arrays(parts) if parts else pa.array([], pa.string())
    found, offset = [], 0
    for chunk in as_chunks(data):
        found.append(record_ids(chunk, columns, offset=offset))
        offset += chunk.num_rows
    return pa.concat_arrays(found) if found else pa.array([], pa.string())


def table_digest(table: pa.Table) -> str:
    """Content digest of a table in memory; equals `Batch.digest` of the same records in a file."""
    digest = ContentDigest(table.schema)
    for chunk in table.to_batches(max_chunksize=CHUNK_ROWS):
        digest.update(chunk)
    return digest.hexdigest()


def batch_id(source: str, day: date, digest: str) -> str:
    """Name of a batch: ``{source}/{yyyymmdd}/{32 hex of the content digest}``.

    Source and full digest are its identity; whoever gives it out checks that the name is free.
    """
    return f"{source}/{day:%Y%m%d}/{digest[:32]}"


def _read_head(
    file: pa.NativeFile, uri: str, kind: str, limits: Limits
) -> tuple[pa.Schema, int | None]:
    """Schema and, where the format tells it, the number of rows."""
    name = safe_uri(uri)
    if kind == "csv":
        return _read_text.csv_schema(uri, limits, name), None
    if kind == "jsonl":
        return _read_text.jsonl_schema(uri, limits, name), None
    if kind == "arrow":
        schema = pa.ipc.open_file(file).schema
        check_columns(schema, limits, name)
        return schema, _read_arrow.count_rows(file, limits, name)
    _read_parquet.check_footer(file, limits, name)
    parquet = pq.ParquetFile(file)
    check_width(parquet.metadata.num_columns, limits, name)
    return parquet.schema_arrow, parquet.metadata.num_rows


def _brief(error: Exception) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
