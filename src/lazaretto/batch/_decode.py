"""Decodes a delivery, once, into its canonical copy. Runs in a process of its own: see `_box`.

The canonical copy is an uncompressed Arrow IPC file of plain types, so that every byte that it
takes in memory is a byte of the file. Its last column holds the record ids. Every chunk is small.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from lazaretto.batch._canonical import schema_with_ids
from lazaretto.batch._cells import CellTypes
from lazaretto.batch._digest import ContentDigest
from lazaretto.batch._exact import InexactError, exact
from lazaretto.batch._ids import check_ids, record_ids
from lazaretto.batch._json_types import JsonTypes
from lazaretto.batch._partitions import with_partitions
from lazaretto.batch._plain import plain_array, plain_bytes, plain_type
from lazaretto.batch._read_arrow import read_arrow
from lazaretto.batch._read_csv import read_csv
from lazaretto.batch._read_images import read_images
from lazaretto.batch._read_json import read_json
from lazaretto.batch._read_parquet import read_parquet
from lazaretto.batch._schema import check_columns, check_reserved
from lazaretto.batch._source import ROWS, check_rows, joined, output_too_large
from lazaretto.batch._unpack import unpack
from lazaretto.errors import DeliveryError
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.batch._source import Source
    from lazaretto.batch._wanted import Wanted
    from lazaretto.policy import Limits

CHUNK_BYTES = 64 * 2**20
_WRONG_TYPE = "wrong_type"
_MOST_TOLD = 20  # what is said of columns has to fit into the answer
# A line longer than this is refused; text is parsed by such blocks.
BLOCK = 4 * 2**20


class Found(NamedTuple):
    """What a delivery holds.

    Attributes:
        format: ``parquet``, ``arrow``, ``csv``, ``jsonl`` or ``images``.
        rows: number of records.
        digest: sha256 (hex) of the content, as `lazaretto.batch.Batch.digest` gives it.
        unlike: columns of text that hold what is not of their declared type, and what that is.
    """

    format: str
    rows: int
    digest: str
    unlike: list[str]


def decode(
    raw: str,
    copy: str,
    *,
    name: str,
    wanted: str | None,
    limits: Limits,
    columns: Wanted,
    folder: str,
    block: int = BLOCK,
) -> Found:
    """Decodes the file `raw` into the canonical copy `copy`.

    Args:
        raw: local path of the delivery.
        copy: local path of what is written.
        name: of the delivery, for messages.
        wanted: its format, by its extension or as somebody said.
        limits: bounds on what it may be.
        columns: what is known of its columns.
        folder: for files that are needed meanwhile.
        block: bytes of text that are parsed at once.

    Raises:
        DeliveryError: it is refused.
    """
    with pa.OSFile(raw, "rb") as file:
        if file.size() > limits.max_bytes:
            raise DeliveryError(
                f"{name}: {file.size():,} bytes, more than limits.max_bytes = {limits.max_bytes:,}",
                code="too_large",
            )
    reading = _Reading(copy, name, limits, columns, folder, block)
    try:
        return reading.decode(raw, wanted, None)
    except DeliveryError as error:
        if error.code != _WRONG_TYPE or not columns.lenient:
            raise
    # Only now is each cell held against its type before anything is written: it takes a second
    # look at all of them, which nearly no delivery needs.
    return reading.decode(raw, wanted, [])


class _Reading(NamedTuple):
    """How a delivery is read."""

    copy: str
    name: str
    limits: Limits
    columns: Wanted
    folder: str
    block: int

    def decode(self, raw: str, wanted: str | None, unlike: list[str] | None) -> Found:
        """Decodes it; see `CellTypes` for `unlike`."""
        options, limits, name = self.columns.text, self.limits, self.name
        unpacked = unpack(raw, wanted, self.folder, limits, name, options=options, block=self.block)
        with ExitStack() as opened:
            files = [opened.enter_context(pa.OSFile(path, "rb")) for path in unpacked.paths]
            if unpacked.format == "images":
                source = read_images(files[0], limits, name)
            else:
                parts = self._parts(unpacked.format, files, unlike)
                said = unpacked.partitions
                parts = with_partitions(parts, said, self.columns, name, unlike)
                source = joined(parts, name)
            check_columns(source.schema, limits, name)
            check_reserved(source.schema, name)
            rows, digest = _write(self.copy, source, limits, self.columns, name)
        if rows == 0:
            raise DeliveryError(f"{name}: no records", code="zero_rows")
        return Found(unpacked.format, rows, digest, (unlike or [])[:_MOST_TOLD])

    def _parts(
        self, kind: str, files: list[pa.NativeFile], unlike: list[str] | None
    ) -> list[Source]:
        limits, name, columns = self.limits, self.name, self.columns
        if kind == "parquet":
            return [read_parquet(file, limits, name) for file in files]
        if kind == "arrow":
            return [read_arrow(file) for file in files]
        if kind == "csv":
            return read_csv(
                files,
                limits,
                name,
                folder=self.folder,
                block=self.block,
                types=lambda names: CellTypes(names, name, columns, unlike),
                options=columns.text,
            )
        types = JsonTypes(name, columns, unlike)
        return read_json(files, limits, name, folder=self.folder, block=self.block, types=types)


def _write(
    copy: str, source: Source, limits: Limits, columns: Wanted, name: str
) -> tuple[int, str]:
    """Number of records and content digest of what was written."""
    plain = pa.schema([pa.field(f.name, plain_type(f.type)) for f in source.schema])
    digest, rows, taken = ContentDigest(plain), 0, 0
    schema = schema_with_ids(plain, columns)
    chunks = _joined(_plain(source.batches, plain, limits, name))
    with pa.OSFile(copy, "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for chunk in chunks:
            ids = record_ids(chunk, columns, offset=rows)
            rows, taken = rows + chunk.num_rows, taken + ids.nbytes
            check_rows(rows, limits, name)
            check_ids(taken, name)
            digest.update(chunk)
            writer.write_batch(pa.RecordBatch.from_arrays([*chunk.columns, ids], schema=schema))
    return rows, digest.hexdigest()


def _plain(
    batches: Iterator[pa.RecordBatch], plain: pa.Schema, limits: Limits, name: str
) -> Iterator[pa.RecordBatch]:
    """The records in plain types, in small parts, each measured before it is made."""
    total = 0
    for batch in batches:
        _validate(batch, name)
        size = _size(batch)
        total += size
        if total > limits.output_bytes:
            raise output_too_large(name, limits)
        for start in range(0, batch.num_rows, ROWS):
            for part in _small(batch.slice(start, ROWS), limits, name):
                columns = [plain_array(column) for column in part.columns]
                for field, column in zip(plain, columns, strict=True):
                    _check_kept(column, f"{name}: column {field.name!r}")
                yield pa.RecordBatch.from_arrays(columns, schema=plain)


def _validate(batch: pa.RecordBatch, name: str) -> None:
    """Refuses values that are none of their type."""
    for column, values in zip(batch.schema.names, batch.columns, strict=True):
        try:
            values.validate(full=True)
        except pa.ArrowInvalid as error:
            raise DeliveryError(
                f"{name}: column {column!r} cannot be read: {error_line(error)}", code="unreadable"
            ) from error
    batch.validate()


def _check_kept(values: pa.Array, where: str) -> None:
    """Refuses what the store's files cannot keep."""
    kept = _kept(values.type)
    if kept == values.type:
        return
    try:
        exact(values, kept)
    except InexactError as error:
        raise DeliveryError(
            f"{where} holds {error.value}, a time that no Parquet file can keep",
            code="unsupported_type",
        ) from error


def _kept(kind: pa.DataType) -> pa.DataType:
    """The type in which Parquet files keep a plain type: they have no seconds."""
    t = pa.types
    if t.is_timestamp(kind) and kind.unit == "s":
        return pa.timestamp("ms", kind.tz)
    if t.is_struct(kind):
        return pa.struct([field.with_type(_kept(field.type)) for field in kind])
    if t.is_map(kind):
        return pa.map_(_kept(kind.key_type), _kept(kind.item_type))
    if t.is_fixed_size_list(kind):
        return pa.list_(_kept(kind.value_type), kind.list_size)
    if t.is_large_list(kind):
        return pa.large_list(_kept(kind.value_type))
    return pa.list_(_kept(kind.value_type)) if t.is_list(kind) else kind


def _small(batch: pa.RecordBatch, limits: Limits, name: str) -> Iterator[pa.RecordBatch]:
    """Halves a batch until each part is small enough; a large record is a part of its own."""
    size, rows = _size(batch), batch.num_rows
    if rows == 1 and size > limits.max_record_bytes:
        raise DeliveryError(
            f"{name}: one record takes {size:,} bytes when it is decoded, more than "
            f"limits.max_record_bytes = {limits.max_record_bytes:,}",
            code="record_too_large",
        )
    if rows <= 1 or size <= min(CHUNK_BYTES, limits.max_record_bytes):
        yield batch
        return
    yield from _small(batch.slice(0, rows // 2), limits, name)
    yield from _small(batch.slice(rows // 2), limits, name)


def _joined(parts: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Joins neighbours that are small together: a thousand row groups of a record are one chunk."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for part in parts:
        more = _size(part)
        if held and (rows + part.num_rows > ROWS or size + more > CHUNK_BYTES):
            yield _one(held)
            held, rows, size = [], 0, 0
        held.append(part)
        rows, size = rows + part.num_rows, size + more
    if rows:
        yield _one(held)


def _one(parts: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(parts) == 1:
        return parts[0]
    batch, *others = pa.Table.from_batches(parts).combine_chunks().to_batches()
    assert not others  # noqa: S101  they are far smaller than what makes Arrow start another
    return batch


def _size(batch: pa.RecordBatch) -> int:
    return sum(plain_bytes(column) for column in batch.columns)
