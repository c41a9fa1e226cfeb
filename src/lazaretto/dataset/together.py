"""Rows of several batches in one data file, in which each batch has a stretch of its own."""

from __future__ import annotations

import hashlib
from itertools import accumulate, chain
from typing import TYPE_CHECKING

import pyarrow as pa

from lazaretto.dataset.files import dataset_path, options_of, write_rows
from lazaretto.storage.sidecars import encoded
from lazaretto.values import DataFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from lazaretto.storage.store import Store

Whose = tuple[str, str]
"""Batch and part."""
_GROUP_ROWS, _GROUP_BYTES = 2**13, 2**24
"""When a row group of several batches is full: to read one batch, its row groups are read."""


def write_together(
    store: Store,
    dataset: str,
    purpose: str,
    schema: pa.Schema,
    chunks: Iterable[tuple[Whose, pa.RecordBatch]],
) -> list[DataFile]:
    """Writes rows of several batches into one file, in which each has a stretch of its own.

    Args:
        store: where to.
        dataset: its name.
        purpose: what they are written for, unique for it.
        schema: of the rows.
        chunks: the rows, each with the batch and part that it is of: those of one behind each
            other. Memory holds one row group.

    Returns:
        The stretches, in the file's order; none where there are no rows.

    Raises:
        ChangedFileError: a file of that name is there with other bytes.
        SystemFaultError: the store cannot be written.
    """
    rows: dict[Whose, int] = {}
    rest = _counting(chunks, rows)
    first = next(rest, None)
    if first is None:
        return []
    stem = hashlib.sha256(purpose.encode()).hexdigest()[:16]
    data = encoded(schema, _row_groups(chain([first], rest), schema), options_of(schema))
    stored = store.put(f"{dataset_path(dataset)}/{stem}-00000-{{sha256}}.parquet", data)
    starts = accumulate(rows.values(), initial=0)
    return [
        DataFile(batch, part, count, stored, start)
        for ((batch, part), count), start in zip(rows.items(), starts, strict=False)
    ]


def write_again(
    store: Store,
    dataset: str,
    purpose: str,
    schema: pa.Schema,
    old: Sequence[DataFile],
    chunks: Iterable[tuple[DataFile, pa.RecordBatch]],
) -> list[DataFile]:
    """Writes one data file anew: with all its stretches where it has some, else as `write_rows`.

    Args:
        store: where to.
        dataset: its name.
        purpose: what for, unique for it.
        schema: of the rows.
        old: the file, or all its stretches.
        chunks: the rows, each with what it comes from.
    """
    if old[0].start is not None:
        return write_together(store, dataset, purpose, schema, by_part(chunks))
    rows = (chunk for _, chunk in chunks)
    return write_rows(store, dataset, purpose, old[0].batch, old[0].part, schema, rows)


def by_part(
    chunks: Iterable[tuple[DataFile, pa.RecordBatch]],
) -> Iterator[tuple[Whose, pa.RecordBatch]]:
    """Rows of data files, each with the batch and part that it is of."""
    return (((file.batch, file.part), chunk) for file, chunk in chunks)


def _counting(
    chunks: Iterable[tuple[Whose, pa.RecordBatch]], rows: dict[Whose, int]
) -> Iterator[pa.RecordBatch]:
    """The rows; how many of them are of each batch and part is counted on their way."""
    last = None
    for whose, chunk in chunks:
        if not chunk.num_rows:
            continue
        if whose != last and whose in rows:
            raise ValueError(f"rows of {whose} do not lie behind each other")
        last, rows[whose] = whose, rows.get(whose, 0) + chunk.num_rows
        yield chunk


def _row_groups(chunks: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Chunks put together until a row group is large enough."""
    some: list[pa.RecordBatch] = []
    rows = size = 0
    for chunk in chunks:
        some.append(chunk)
        rows, size = rows + chunk.num_rows, size + chunk.nbytes
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            yield pa.Table.from_batches(some, schema)
            some, rows, size = [], 0, 0
    if some:
        yield pa.Table.from_batches(some, schema)
