"""A batch: one immutable delivery, decoded once in a box, streamed from its canonical copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.lazy import load_lazily

if TYPE_CHECKING:
    from lazaretto.batch._batch import CHUNK_ROWS as CHUNK_ROWS
    from lazaretto.batch._batch import Batch as Batch
    from lazaretto.batch._batch import as_chunks as as_chunks
    from lazaretto.batch._batch import batch_id as batch_id
    from lazaretto.batch._batch import open_canonical as open_canonical
    from lazaretto.batch._batch import own as own
    from lazaretto.batch._batch import records as records
    from lazaretto.batch._batch import table_digest as table_digest
    from lazaretto.batch._box import Decoded as Decoded
    from lazaretto.batch._box import decode as decode
    from lazaretto.batch._delivery import delivered_digest as delivered_digest
    from lazaretto.batch._files import file_digest as file_digest
    from lazaretto.batch._format import format_by_name as format_by_name
    from lazaretto.batch._ids import record_ids as record_ids
    from lazaretto.batch._ids import text_ids as text_ids
    from lazaretto.batch._ids import usable_ids as usable_ids
    from lazaretto.batch._open import open_batch as open_batch
    from lazaretto.batch._stretch import Stretch as Stretch
    from lazaretto.batch._stretch import stretches_of as stretches_of
    from lazaretto.batch._wanted import Wanted as Wanted
    from lazaretto.batch._wanted import declared as declared

# The process that decodes one delivery is started anew for it, and needs few of these.
_HOMES = {
    "CHUNK_ROWS": "lazaretto.batch._batch",
    "Batch": "lazaretto.batch._batch",
    "Decoded": "lazaretto.batch._box",
    "Stretch": "lazaretto.batch._stretch",
    "Wanted": "lazaretto.batch._wanted",
    "as_chunks": "lazaretto.batch._batch",
    "batch_id": "lazaretto.batch._batch",
    "declared": "lazaretto.batch._wanted",
    "decode": "lazaretto.batch._box",
    "delivered_digest": "lazaretto.batch._delivery",
    "file_digest": "lazaretto.batch._files",
    "format_by_name": "lazaretto.batch._format",
    "open_batch": "lazaretto.batch._open",
    "open_canonical": "lazaretto.batch._batch",
    "own": "lazaretto.batch._batch",
    "record_ids": "lazaretto.batch._ids",
    "records": "lazaretto.batch._batch",
    "stretches_of": "lazaretto.batch._stretch",
    "table_digest": "lazaretto.batch._batch",
    "text_ids": "lazaretto.batch._ids",
    "usable_ids": "lazaretto.batch._ids",
}

__all__ = [*_HOMES]  # noqa: PLE0604

load_lazily(__name__, _HOMES)
