"""Stretches of a Parquet file of the store: read without the rest of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from lazaretto.errors import ChangedFileError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from lazaretto.storage.store import Store
    from lazaretto.values import StoredFile


def read_spans(
    store: Store,
    file: StoredFile,
    spans: Sequence[tuple[int, int]],
    *,
    columns: list[str] | None = None,
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Streams some stretches of a side-car; memory holds one row group, and no other is read.

    Args:
        store: where it lies.
        file: what is on record.
        spans: first row of each stretch, from 0, and the row behind its last; ascending, apart.
        columns: only these.

    Returns:
        Rows of one stretch at a time, with the number of the first of them in the file.

    Raises:
        ChangedFileError: it is gone, is not the one that is on record, or ends before a stretch
            does.
    """
    if not spans:
        return
    with store.open(file) as opened:
        parquet = pq.ParquetFile(opened, pre_buffer=False)
        if spans[-1][1] > parquet.metadata.num_rows:
            found = f"it has {parquet.metadata.num_rows} rows, {spans[-1][1]} are on record"
            raise ChangedFileError(file.path, expected=file.sha256, found=found)
        end, at = 0, 0
        for group in range(parquet.num_row_groups):
            first, end = end, end + parquet.metadata.row_group(group).num_rows
            while at < len(spans) and spans[at][1] <= first:
                at += 1
            if at == len(spans):
                return
            if spans[at][0] >= end:
                continue
            for rows in parquet.iter_batches(
                row_groups=[group], columns=columns, use_threads=False
            ):
                last = first + rows.num_rows
                here = at
                while here < len(spans) and spans[here][0] < last:
                    start, stop = max(spans[here][0], first), min(spans[here][1], last)
                    if start < stop:
                        yield start, rows.slice(start - first, stop - start)
                    here += 1
                first = last
