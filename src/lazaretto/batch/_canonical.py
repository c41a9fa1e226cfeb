"""Form of the canonical copy: an uncompressed Arrow IPC file whose last column is the record ids.

Uncompressed, so that every byte that a chunk takes in memory is a byte of the file. Chosen by what
10^6 records of 384 float32 and a text took on one core: 1.68 GB, 3.4 s to write, 0.1 s to read;
plain Parquet 1.68 GB, 5.3 s and 1.4 s; Parquet with snappy 1.59 GB, 5.4 s and 3.1 s. A column of
ids is read in 0.01 s. Vectors hardly compress (zstd: 1.45 GB).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO

    from lazaretto.batch._wanted import Wanted
    from lazaretto.policy import Columns

RECORD = "_lazaretto_record"
"""The column of record ids."""
_MADE_OF, _WHOLE_RECORDS, _COLUMN = b"lazaretto.record_id", b"", b"column "


def schema_with_ids(plain: pa.Schema, columns: Columns | Wanted) -> pa.Schema:
    """Schema of a canonical copy; its metadata say of which column the record ids are made."""
    column = ids_made_of(plain.names, columns)
    made_of = _WHOLE_RECORDS if column is None else _COLUMN + column.encode()
    return plain.append(pa.field(RECORD, pa.string())).with_metadata({_MADE_OF: made_of})


def ids_made_of(names: Sequence[str], columns: Columns | Wanted) -> str | None:
    """The column of which record ids are made; None: they are made of whole records."""
    return columns.record_id if columns.record_id in names else None


def read_head(file: IO[bytes]) -> tuple[pa.Schema, str | None]:
    """The delivery's own columns, and of which one its record ids are made.

    Raises:
        ValueError: this is no canonical copy.
    """
    schema = pa.ipc.open_file(pa.PythonFile(file, mode="r")).schema
    made_of = (schema.metadata or {}).get(_MADE_OF)
    if made_of is None or not schema.names or schema.names[-1] != RECORD:
        raise ValueError("it has no record ids")
    column = None if made_of == _WHOLE_RECORDS else made_of.removeprefix(_COLUMN).decode()
    return pa.schema(list(schema)[:-1]), column


def read_chunks(
    file: IO[bytes], names: Sequence[str], numbers: Sequence[int] | None = None
) -> Iterator[pa.RecordBatch]:
    """Chunks with the named columns, of which there is at least one, in order.

    They are validated: a decoder that hostile bytes took over may have written them.

    Args:
        file: the copy.
        names: of the columns.
        numbers: only these chunks; default all.
    """
    source = pa.PythonFile(file, mode="r")
    schema = pa.ipc.open_file(source).schema
    indices = [schema.get_field_index(name) for name in names]
    options = pa.ipc.IpcReadOptions(included_fields=sorted(indices), use_threads=False)
    reader = pa.ipc.open_file(source, options=options)
    for number in range(reader.num_record_batches) if numbers is None else numbers:
        chunk = reader.get_batch(number).select(list(names))
        chunk.validate(full=True)
        yield chunk.replace_schema_metadata(None)
