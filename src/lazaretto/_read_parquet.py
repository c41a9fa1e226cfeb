"""Reading Parquet: what the footer claims is checked before any page is decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lazaretto.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lazaretto.policy import Limits

# Bytes of one decoded value; for text, of its index into the dictionary.
_INDEX = 4
_WIDTHS = {"BOOLEAN": 1, "INT64": 8, "DOUBLE": 8, "INT96": 12, "FIXED_LEN_BYTE_ARRAY": 32}


def check_footer(file: pq.ParquetFile, limits: Limits, name: str) -> None:
    """Refuses row groups that would not fit in memory.

    Raises:
        DeliveryError: code ``row_group_too_large``.
    """
    metadata = file.metadata
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        claimed = max(
            row_group.total_byte_size,
            sum(row_group.column(c).total_uncompressed_size for c in range(metadata.num_columns)),
        )
        if claimed > limits.max_row_group_bytes:
            raise _too_large(name, group, claimed, limits)


def read_batches(
    file: pa.NativeFile, columns: Sequence[str], size: int, limits: Limits, name: str
) -> Iterator[pa.RecordBatch]:
    """Record batches of the named top-level columns, at most `size` rows each.

    Repetition is nearly free in Parquet: a kilobyte of pages can say "a megabyte of text, a billion times".
    Columns whose dictionary holds values long enough for that are read as dictionaries, so that the caller
    can measure a chunk before it is expanded.
    """
    reader = pq.ParquetFile(file)
    long_columns = _check_expansion(file, reader, set(columns), size, limits, name)
    if long_columns:
        reader = pq.ParquetFile(file, read_dictionary=long_columns)
    # `columns` would also match "a.b" for "a"; the selection by name is exact.
    yield from (
        batch.select(list(columns))
        for batch in reader.iter_batches(batch_size=size, columns=list(columns))
    )


def _check_expansion(
    file: pa.NativeFile,
    reader: pq.ParquetFile,
    columns: set[str],
    size: int,
    limits: Limits,
    name: str,
) -> list[str]:
    """Leaf paths to read as dictionaries; refuses nested columns that decode beyond the limit."""
    found: set[str] = set()
    for group in range(reader.metadata.num_row_groups):
        row_group = reader.metadata.row_group(group)
        for index in range(reader.metadata.num_columns):
            leaf, chunk = reader.metadata.schema.column(index), row_group.column(index)
            top = next(
                (c for c in columns if leaf.path == c or leaf.path.startswith(c + ".")), None
            )
            # Without a dictionary the values are in the pages, and so in the footer's size.
            if top is None or not any("DICTIONARY" in encoding for encoding in chunk.encodings):
                continue
            nested = leaf.max_repetition_level > 0
            values = chunk.num_values if nested else size
            width = _WIDTHS.get(chunk.physical_type, _INDEX)
            if nested and values * width > limits.max_row_group_bytes:
                raise _too_large(name, group, values * width, limits)
            if chunk.physical_type != "BYTE_ARRAY":
                continue
            if values * chunk.total_uncompressed_size <= limits.max_row_group_bytes:
                continue
            expanded = values * _longest(file, group, leaf.path, top)
            if expanded > limits.max_row_group_bytes:
                if nested:
                    raise _too_large(name, group, expanded, limits)
                found.add(leaf.path)
    return sorted(found)


def _longest(file: pa.NativeFile, group: int, path: str, column: str) -> int:
    """Bytes of the longest value in a column chunk's dictionary: one row is read, the dictionary kept."""
    reader = pq.ParquetFile(file, read_dictionary=[path])
    for batch in reader.iter_batches(batch_size=1, row_groups=[group], columns=[column]):
        return max((_dictionary_width(values) for values in batch.columns), default=0)
    return 0


def _dictionary_width(values: pa.Array) -> int:
    if pa.types.is_dictionary(values.type):
        return pc.max(pc.binary_length(values.dictionary)).as_py() or 0
    if pa.types.is_struct(values.type):
        return max((_dictionary_width(child) for child in values.flatten()), default=0)
    if pa.types.is_nested(values.type):
        return (
            _dictionary_width(values.values)
            if not pa.types.is_map(values.type)
            else max(_dictionary_width(values.keys), _dictionary_width(values.items))
        )
    return 0


def _too_large(name: str, group: int, size: int, limits: Limits) -> DeliveryError:
    return DeliveryError(
        f"{name}: row group {group} holds {size:,} bytes uncompressed, more than "
        f"limits.max_row_group_bytes = {limits.max_row_group_bytes:,}; write smaller row groups",
        code="row_group_too_large",
    )
