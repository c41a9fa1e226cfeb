"""Data files of the admitted dataset: written once by digest, and read back by it."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lazaretto.names import check_dataset_name
from lazaretto.storage.sidecars import encoded, read_chunks, read_schema
from lazaretto.storage.spans import read_spans
from lazaretto.values import DataFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lazaretto.storage.store import Store
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import StoredFile

_ENOUGH = 128 * 2**20
"""Bytes after which rows go on in another file, so that readers can share the work."""


def dataset_path(dataset: str) -> str:
    """Where an admitted dataset lies in the store: in a folder of its own.

    Raises:
        UsageError: the name cannot be a dataset's.
    """
    return f"datasets/{check_dataset_name(dataset)}"


def dataset_uri(workspace: Workspace, dataset: str) -> str:
    """URI of an admitted dataset's Delta table.

    Raises:
        OtherStoreError: the store is not the catalog's.
    """
    workspace.store.require_own()
    return workspace.store.uri(dataset_path(dataset))


def write_rows(
    store: Store,
    dataset: str,
    purpose: str,
    batch: str,
    part: str,
    schema: pa.Schema,
    chunks: Iterable[pa.RecordBatch],
) -> list[DataFile]:
    """Writes rows of one batch into the folder of a dataset, where no version names them yet.

    The digest is of the bytes on their way out. Names come from purpose and content: the same again
    gives the same files, and other rows never take a name that is in use.

    Args:
        store: where to.
        dataset: its name.
        purpose: what they are written for, unique for it.
        batch: whose rows.
        part: ``cleared``, or the publication that admits them.
        schema: of the rows.
        chunks: the rows; memory holds one chunk.

    Raises:
        ChangedFileError: a file of that name is there with other bytes.
        SystemFaultError: the store cannot be written.
    """
    stem = hashlib.sha256(purpose.encode()).hexdigest()[:16]
    rest = iter(chunks)
    files: list[DataFile] = []
    while (first := next(rest, None)) is not None:
        written = _Written()
        data = written.count(encoded(schema, written.until_enough(first, rest), options_of(schema)))
        name = f"{dataset_path(dataset)}/{stem}-{len(files):05}-{{sha256}}.parquet"
        stored = store.put(name, data)
        files.append(DataFile(batch, part, written.rows, stored))
    return files


def read_rows(
    store: Store,
    files: Iterable[DataFile],
    *,
    columns: Sequence[str] | None = None,
    schema: pa.Schema | None = None,
    missing: bool = False,
) -> Iterator[pa.RecordBatch]:
    """Streams rows of data files, in the order of the files; see `read_files`."""
    for _, chunk in read_files(store, files, columns=columns, schema=schema, missing=missing):
        yield chunk


def read_files(
    store: Store,
    files: Iterable[DataFile],
    *,
    columns: Sequence[str] | None = None,
    schema: pa.Schema | None = None,
    missing: bool = False,
) -> Iterator[tuple[DataFile, pa.RecordBatch]]:
    """Streams rows of data files with the file that each is of; memory holds one row group.

    Stretches of one file that follow each other are read in one go.

    Args:
        store: where they are.
        files: as they are on record.
        columns: only these, in this order.
        schema: of the version that is read: where it has columns that a file, which was written
            before, has not, they are null.
        missing: leave out those of `columns` that a file does not have.

    Raises:
        ChangedFileError: a file is gone, or its bytes are others.
    """
    wanted = None if columns is None else list(columns)
    for stored, group in groupby(files, key=lambda one: one.file):
        there = wanted
        if wanted is not None and (missing or schema is not None):
            names = read_schema(store, stored).names
            there = [name for name in wanted if name in names]
        for file, chunk in _stretches(store, stored, list(group), there):
            if schema is not None:
                full = _filled(chunk, schema if wanted is None else _chosen(schema, wanted))
                yield file, full
            else:
                yield file, chunk if there is None else chunk.select(there)


def _stretches(
    store: Store, stored: StoredFile, files: Sequence[DataFile], columns: list[str] | None
) -> Iterator[tuple[DataFile, pa.RecordBatch]]:
    """Rows of one file, each with the stretch that it is in."""
    for file in files:
        if file.start is None:
            yield from ((file, rows) for rows in read_chunks(store, stored, columns=columns))
    parts = sorted(
        ((file.start, file) for file in files if file.start is not None), key=itemgetter(0)
    )
    spans = [(start, start + file.rows) for start, file in parts]
    for first, rows in read_spans(store, stored, spans, columns=columns):
        at = bisect_right(spans, first, key=itemgetter(0)) - 1
        yield parts[at][1], rows


def _chosen(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    return pa.schema([schema.field(name) for name in names])


def _filled(chunk: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """A chunk with all columns of its version."""
    columns = [
        chunk.column(field.name)
        if field.name in chunk.schema.names
        else pa.nulls(chunk.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, names=schema.names)


class _Written:
    """How much of one file is written so far."""

    def __init__(self) -> None:
        self.rows = 0
        self.size = 0

    def until_enough(
        self, first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]
    ) -> Iterator[pa.RecordBatch]:
        chunk: pa.RecordBatch | None = first
        while chunk is not None:
            self.rows += chunk.num_rows
            yield chunk
            chunk = None if self.size >= _ENOUGH else next(rest, None)

    def count(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        for part in parts:
            self.size += len(part)
            yield part


def options_of(schema: pa.Schema) -> dict[str, Any]:
    """Dictionaries for texts, bounds for plain values: with either, vectors are slow to read."""
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    plain = [field.name for field in schema if not pa.types.is_nested(field.type)]
    return {
        "compression": "snappy",  # read back three times as fast as zstd, for vectors as large
        "use_dictionary": texts,
        "write_statistics": plain,
    }
