"""A batch: one immutable delivery, opened by URI, streamed in chunks, known by its content."""

from lazaretto.batch._batch import (
    CHUNK_ROWS,
    Batch,
    all_record_ids,
    as_chunks,
    batch_id,
    open_batch,
    table_digest,
)
from lazaretto.batch._files import file_digest
from lazaretto.batch._ids import record_ids, text_ids, usable_ids

__all__ = [
    "CHUNK_ROWS",
    "Batch",
    "all_record_ids",
    "as_chunks",
    "batch_id",
    "file_digest",
    "open_batch",
    "record_ids",
    "table_digest",
    "text_ids",
    "usable_ids",
]
