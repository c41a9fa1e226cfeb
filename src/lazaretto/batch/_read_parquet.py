"""Reading Parquet: what the footer claims is checked before any page is decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lazaretto.batch._parquet_footer import RowGroup, read_row_groups
from lazaretto.batch._parquet_pages import count_values
from lazaretto.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lazaretto.policy import Limits

# Bytes of one decoded value; for text, of its index into the dictionary.
_INDEX = 4
_WIDTHS = {"BOOLEAN": 1, "INT64": 8, "DOUBLE": 8, "INT96": 12, "FIXED_LEN_BYTE_ARRAY": 32}


def check_footer(file: pa.NativeFile, limits: Limits, name: str) -> None:
    """Refuses row groups that would not fit in memory.

    Raises:
        DeliveryError: code ``row_group_too_large``, or ``unreadable`` for a damaged footer.
    """
    for number, group in enumerate(_row_groups(file, name)):
        if group.size > limits.max_row_group_bytes:
            raise _too_large(name, number, group.size, limits)


def _row_groups(file: pa.NativeFile, name: str) -> list[RowGroup]:
    try:
        return read_row_groups(file)
    except ValueError as error:
        raise DeliveryError(
            f"{name}: cannot be read as parquet: {error}", code="unreadable"
        ) from error


def read_batches(
    file: pa.NativeFile, columns: Sequence[str], size: int, limits: Limits, name: str
) -> Iterator[pa.RecordBatch]:
    """Record batches of the named top-level columns, at most `size` rows each.

    Repetition is nearly free in Parquet: a kilobyte of pages can say "a megabyte of text, a billion
    times". So the dictionaries themselves are looked at first, whatever the footer says of them.
    Columns with values long enough to matter are read as dictionaries, and the caller measures a
    chunk before it expands it.
    """
    # Read ahead, Arrow would keep every row group until the last: memory as large as the file.
    reader = pq.ParquetFile(file, pre_buffer=False)
    wanted = list(columns)
    groups = _row_groups(file, name)
    if any(len(group.values) != reader.metadata.num_columns for group in groups):
        raise DeliveryError(
            f"{name}: its row groups have other columns than its schema", code="unreadable"
        )
    texts = _check_lists(file, reader.metadata.schema, groups, wanted, limits, name)
    found: set[str] = set()
    if texts:
        probe = pq.ParquetFile(
            file, metadata=reader.metadata, read_dictionary=sorted(texts), pre_buffer=False
        )
        for number, group in enumerate(groups):
            longest = _longest_texts(probe, number, texts)
            for path, (top, index) in texts.items():
                nested = reader.metadata.schema.column(index).max_repetition_level > 0
                expanded = longest[top] * (group.values[index] if nested else size)
                if expanded > limits.max_row_group_bytes:
                    if nested:
                        raise _too_large(name, number, expanded, limits)
                    found.add(path)
    if found:
        reader = pq.ParquetFile(
            file, metadata=reader.metadata, read_dictionary=sorted(found), pre_buffer=False
        )
    # `columns` would also match "a.b" for "a"; the selection by name is exact.
    yield from (
        batch.select(wanted) for batch in reader.iter_batches(batch_size=size, columns=wanted)
    )


def _check_lists(
    file: pa.NativeFile,
    schema: pq.ParquetSchema,
    groups: list[RowGroup],
    columns: list[str],
    limits: Limits,
    name: str,
) -> dict[str, tuple[str, int]]:
    """Refuses lists whose items alone exceed the limit, or lie; returns text leaves, by path.

    Each comes with its top-level column and its index among the leaves.
    """
    texts: dict[str, tuple[str, int]] = {}
    for index in range(len(schema)):
        leaf = schema.column(index)
        top = next((c for c in columns if leaf.path == c or leaf.path.startswith(c + ".")), None)
        if top is None:
            continue
        if leaf.physical_type == "BYTE_ARRAY":
            texts[leaf.path] = (top, index)
        if not leaf.max_repetition_level:
            continue
        for number, group in enumerate(groups):
            size = group.values[index] * _WIDTHS.get(leaf.physical_type, _INDEX)
            if size > limits.max_row_group_bytes:
                raise _too_large(name, number, size, limits)
            _check_pages(file, group, index, f"{name}: row group {number}: column {leaf.path!r}")
    return texts


def _check_pages(file: pa.NativeFile, group: RowGroup, index: int, what: str) -> None:
    """Refuses a column whose pages hold more than its footer says."""
    claimed = group.values[index]
    try:
        found = count_values(file, group.spans[index], claimed)
    except ValueError as error:
        raise DeliveryError(f"{what}: {error}", code="unreadable") from error
    if found > claimed:
        raise DeliveryError(
            f"{what}: its pages hold {found:,} values, and the footer says {claimed:,}",
            code="unreadable",
        )


def _longest_texts(
    probe: pq.ParquetFile, group: int, texts: dict[str, tuple[str, int]]
) -> dict[str, int]:
    """Bytes of the longest dictionary value by top-level column; one row of the group is read."""
    tops = sorted({top for top, _ in texts.values()})
    row = next(probe.iter_batches(batch_size=1, row_groups=[group], columns=tops), None)
    return {top: 0 if row is None else _dictionary_width(row.column(top)) for top in tops}


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
