"""Reads Arrow IPC files, a record batch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from lazaretto.batch._source import Source

if TYPE_CHECKING:
    from collections.abc import Iterator


def read_arrow(file: pa.NativeFile) -> Source:
    """Opens an Arrow IPC file."""
    options = pa.ipc.IpcReadOptions(use_threads=False)
    reader = pa.ipc.open_file(file, options=options)

    def batches() -> Iterator[pa.RecordBatch]:
        for index in range(reader.num_record_batches):
            yield reader.get_batch(index)

    return Source(reader.schema, batches())
