"""What the trusted rows of a reference are, for reviewers: ids, and columns that the policy shows.

A reference holds vectors and labels, from which nobody can tell what a row was. This file beside it
says so, row by row: the id, and the columns that the policy names for reviewers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.batch import records
from lazaretto.batch._plain import plain_type
from lazaretto.batch._shown import rows_as_python
from lazaretto.storage.sidecars import read_numbered, write_parquet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lazaretto.batch import Batch
    from lazaretto.policy import Columns
    from lazaretto.reference import Reference
    from lazaretto.storage.store import Store
    from lazaretto.values import StoredFile

TRUSTED = "trusted.parquet"
RECORD = "_lazaretto_record"
LONGEST_TEXT = 4_000
"""Characters of a text that are kept."""
LARGEST_CELL = 256 * 1024
"""Bytes of a picture or another file that is kept; of a larger one, nothing is."""
MOST_BYTES = 256 * 2**20
"""Bytes of content that are kept of all rows together; of the rows behind, the id is."""
_CHUNK = 256


@dataclass(frozen=True, slots=True)
class TrustedRows:
    """The trusted rows that a reference was fitted on.

    Attributes:
        data: all of them, in the order that the reference was fitted in.
        columns: the policy's: of which one ids are made, and which ones reviewers see.
    """

    data: pa.Table | Batch
    columns: Columns


def write_trusted(
    store: Store, folder: str, reference: Reference, trusted: TrustedRows
) -> StoredFile:
    """Writes it into a reference's folder; memory holds a few hundred rows."""
    schema = pa.schema([(RECORD, pa.string()), *_kept_columns(trusted)])
    return write_parquet(store, f"{folder}/{TRUSTED}", schema, _chunks(reference, trusted, schema))


def read_trusted(store: Store, file: StoredFile, rows: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Some rows of it: the id in `RECORD`, and the kept columns.

    Args:
        store: where it lies.
        file: what is on record.
        rows: of the reference's sample, which are those of the file.

    Returns:
        By row.

    Raises:
        ChangedFileError: it is gone, or is not the one that is on record.
    """
    wanted = sorted(set(rows))
    found = rows_as_python(read_numbered(store, file, wanted))
    return dict(zip(wanted, found, strict=True))


def file_in(kind: pa.DataType) -> str | None:
    """Where a value of a type holds a file: ``""`` for bytes, the field's name for a struct.

    A struct with the bytes of a file and its path is how Hugging Face `datasets` keeps pictures
    and sounds.

    Returns:
        None where it holds none.
    """
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return ""
    if pa.types.is_struct(kind) and kind.get_all_field_indices("bytes"):
        return "bytes" if file_in(kind.field("bytes").type) == "" else None
    return None


def _kept_columns(trusted: TrustedRows) -> Iterator[tuple[str, pa.DataType]]:
    """Columns that reviewers see and that have a short form; vectors and nested values have none.

    A name that is given twice is no column that can be told from another.
    """
    for name in dict.fromkeys(trusted.columns.payload):
        if name == RECORD or len(trusted.data.schema.get_all_field_indices(name)) != 1:
            continue
        kind = plain_type(trusted.data.schema.field(name).type)
        if file_in(kind) is not None:
            yield name, pa.large_binary()
        elif not pa.types.is_nested(kind):
            yield name, kind


def _chunks(
    reference: Reference, trusted: TrustedRows, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    names = schema.names[1:]
    read = names or trusted.data.schema.names[:1]
    offset = kept = 0
    for ids, chunk in records(trusted.data, trusted.columns, columns=read, size=_CHUNK):
        low, high = np.searchsorted(reference.positions, [offset, offset + len(ids)])
        here = pa.array(reference.positions[low:high] - offset)
        offset += len(ids)
        if not len(here):
            continue
        cells = [
            _short(chunk.column(name), schema.field(name).type).take(here)
            if kept < MOST_BYTES
            else pa.nulls(len(here), schema.field(name).type)
            for name in names
        ]
        kept += sum(cell.nbytes for cell in cells)
        yield pa.RecordBatch.from_arrays([ids.take(here), *cells], schema=schema)


def _short(values: pa.Array, kind: pa.DataType) -> pa.Array:
    field = file_in(values.type)
    if field is not None:
        data = pc.struct_field(values, field) if field else values
        fits = pc.less_equal(pc.binary_length(data), LARGEST_CELL)
        return pc.if_else(fits, data, None).cast(kind)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pc.utf8_slice_codeunits(values, 0, LONGEST_TEXT)
    return values
