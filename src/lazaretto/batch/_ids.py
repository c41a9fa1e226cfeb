"""Record ids: the policy's column as text, else content hash and position."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.batch._digest import row_hashes
from lazaretto.batch._plain import plain_array
from lazaretto.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lazaretto.batch._wanted import Wanted
    from lazaretto.policy import Columns

MAX_ID_BYTES = 512
MAX_IDS_BYTES = 2**29
"""Bytes of all record ids of a batch, which stages keep in memory."""
# RE2 has no \u escapes; C1 controls and bidi overrides spelled for it.
_CONTROL_RE2 = r"[\x00-\x1f\x7f-\x{9f}\x{2028}\x{2029}\x{202a}-\x{202e}\x{2066}-\x{2069}]"


def record_ids(
    chunk: pa.RecordBatch | pa.Table, columns: Columns | Wanted, *, offset: int = 0
) -> pa.Array:
    """Identity of each record: its id, or where none is usable, ``{content hash}-{position}``.

    Usable means: not null, not empty, at most `MAX_ID_BYTES` bytes, without control characters (a
    NUL cannot be stored by PostgreSQL, a bidi override lies to a reviewer). The contract's
    ``record_id.*`` rules report the rest.

    Args:
        chunk: all columns of the records, so that content hashes are those of whole records.
        columns: the policy's columns; without ``record_id``, or when the chunk lacks it, all ids
            are by content.
        offset: position of the chunk's first record in its batch.

    Returns:
        String array without nulls, one id per record.

    Examples:
        >>> from lazaretto.policy import Columns
        >>> record_ids(pa.table({"id": [7, 8]}), Columns(record_id="id")).to_pylist()
        ['7', '8']
    """
    ids = text_ids(chunk, columns)
    if ids is not None:
        usable = usable_ids(ids)
        if pc.all(usable).as_py() is not False:
            return ids
    batch = pa.Table.combine_chunks(chunk) if isinstance(chunk, pa.Table) else chunk
    records = batch.to_batches() if isinstance(batch, pa.Table) else [batch]
    hashes = [digest for record in records for digest in row_hashes(record)]
    content = pa.array([f"{digest}-{offset + i}" for i, digest in enumerate(hashes)], pa.string())
    return content if ids is None else pc.if_else(usable, ids, content)


def check_ids(size: int, name: str) -> None:
    """Refuses record ids that take too many bytes together.

    Raises:
        DeliveryError: code ``too_large``.
    """
    if size > MAX_IDS_BYTES:
        raise DeliveryError(
            f"{name}: its record ids take more than {MAX_IDS_BYTES:,} bytes together; deliver "
            "shorter ones, or fewer records at a time",
            code="too_large",
        )


def text_ids(chunk: pa.RecordBatch | pa.Table, columns: Columns | Wanted) -> pa.Array | None:
    """The record id column as text, nulls kept; None when there is none that can be text.

    Examples:
        >>> from lazaretto.policy import Columns
        >>> text_ids(pa.table({"id": ["a", None]}), Columns(record_id="id")).to_pylist()
        ['a', None]
    """
    if columns.record_id is None or columns.record_id not in chunk.schema.names:
        return None
    values = chunk.column(columns.record_id)
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    try:
        return plain_array(values).cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def usable_ids(ids: pa.Array) -> pa.Array:
    """Whether each id may serve as one; bool array without nulls.

    Examples:
        >>> usable_ids(pa.array(["a", None, ""])).to_pylist()
        [True, False, False]
    """
    length = pc.binary_length(ids)
    fits = pc.and_(pc.greater(length, 0), pc.less_equal(length, MAX_ID_BYTES))
    clean = pc.ascii_is_printable(ids)
    if not pc.all(clean).as_py():  # most ids are plain, and to see that is fast
        clean = pc.invert(pc.match_substring_regex(ids, _CONTROL_RE2))
    return pc.fill_null(pc.and_(fits, clean), False)


def ids_digest(ids: Sequence[str]) -> str:
    """sha256 (hex) over ids in their order, each with its length, so that no two lists share it."""
    digest = hashlib.sha256()
    for name in ids:
        data = name.encode()
        digest.update(len(data).to_bytes(4, "big") + data)
    return digest.hexdigest()
