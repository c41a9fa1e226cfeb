"""Reads Parquet, a few thousand records at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from lazaretto.batch._schema import check_width
from lazaretto.batch._source import ROWS, Source, check_rows

if TYPE_CHECKING:
    import pyarrow as pa

    from lazaretto.policy import Limits

_BUFFER = 1 << 20


def read_parquet(file: pa.NativeFile, limits: Limits, name: str) -> Source:
    """Opens a Parquet file. What its footer says is checked; what its pages hold is not, yet.

    Raises:
        DeliveryError: ``too_many_columns``, ``too_large``.
    """
    # Read ahead, Arrow would keep every row group until the last: memory as large as the file.
    parquet = pq.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER)
    check_width(parquet.metadata.num_columns, limits, name)
    check_rows(parquet.metadata.num_rows, limits, name)
    return Source(parquet.schema_arrow, parquet.iter_batches(batch_size=ROWS, use_threads=False))
