"""A batch: one immutable delivery, decoded once in a box, streamed from its canonical copy."""

from lazaretto.batch._batch import (
    CHUNK_ROWS,
    Batch,
    as_chunks,
    batch_id,
    open_canonical,
    own,
    records,
    table_digest,
)
from lazaretto.batch._box import Decoded, decode
from lazaretto.batch._files import file_digest
from lazaretto.batch._format import format_by_name
from lazaretto.batch._ids import record_ids, text_ids, usable_ids
from lazaretto.batch._open import open_batch
from lazaretto.batch._wanted import Wanted, declared

__all__ = [
    "CHUNK_ROWS",
    "Batch",
    "Decoded",
    "Wanted",
    "as_chunks",
    "batch_id",
    "declared",
    "decode",
    "file_digest",
    "format_by_name",
    "open_batch",
    "open_canonical",
    "own",
    "record_ids",
    "records",
    "table_digest",
    "text_ids",
    "usable_ids",
]
