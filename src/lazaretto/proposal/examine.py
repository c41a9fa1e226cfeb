"""Looks at a sample: what each of its columns holds, and what part it could play."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.batch import Batch

ROWS = 50_000
"""So many records are looked at, the first."""
DEPTH = 4
"""Fields of fields are looked at down to this depth."""


class Kind(StrEnum):
    """What a column holds, as far as an encoder cares."""

    NUMBER = "number"
    CATEGORY = "category"
    TEXT = "text"
    NAME = "name"
    TIME = "time"
    VECTOR = "vector"
    IMAGE = "image"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a column, or of a field in one.

    Attributes:
        path: its name; fields of a column behind dots.
        type: of its values.
        kind: what they are. A name is text that differs from record to record: an address, a key.
        nulls: whether any is missing.
        distinct: number of different values; 0 for lists, bytes and columns with fields.
        unique: whether no two records have the same, and none has none.
        longest: characters of the longest text; 0 for what is no text.
    """

    path: str
    type: pa.DataType
    kind: Kind
    nulls: bool
    distinct: int
    unique: bool
    longest: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample, looked at.

    Attributes:
        rows: records in it.
        looked_at: records that were looked at.
        columns: what it has, in order.
        fields: the same with the fields of columns in place of these.
    """

    rows: int
    looked_at: int
    columns: tuple[Seen, ...]
    fields: tuple[Seen, ...]

    def column(self, name: str) -> Seen | None:
        """The column of a name; None where there is none."""
        return next((one for one in self.columns if one.path == name), None)


def examine(batch: Batch) -> Sample:
    """Looks at the first records of a sample.

    Args:
        batch: the sample, as it would be delivered.

    Returns:
        What each column holds.

    Example:
        >>> from lazaretto.batch import open_batch
        >>> examine(open_batch("monday.parquet")).rows
        60
    """
    parts, rows = [], 0
    for chunk in batch.chunks():
        parts.append(chunk.slice(0, ROWS - rows))
        rows += parts[-1].num_rows
        if rows >= ROWS:
            break
    table = pa.Table.from_batches(parts, schema=batch.schema).combine_chunks()
    named = {name: _whole(table.column(name)) for name in table.schema.names}
    columns = tuple(_seen(name, values) for name, values in named.items())
    fields = tuple(_seen(path, values) for path, values in _fields(named, DEPTH))
    return Sample(batch.num_rows, rows, columns, fields)


def _fields(named: dict[str, pa.Array], depth: int) -> Iterator[tuple[str, pa.Array]]:
    for name, values in named.items():
        if not pa.types.is_struct(values.type) or not depth:
            yield name, values
            continue
        inner = {
            f"{name}.{field.name}": pc.struct_field(values, number)
            for number, field in enumerate(values.type)
            # Such a path would lead elsewhere.
            if "." not in field.name and f"{name}.{field.name}" not in named
        }
        yield from _fields(inner, depth - 1)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _seen(path: str, values: pa.Array) -> Seen:
    kind = values.type
    there = values.drop_null()
    nulls = values.null_count > 0
    if pa.types.is_nested(kind):
        width = _width(there)
        return Seen(path, kind, Kind.VECTOR if width > 1 else Kind.OTHER, nulls, 0, unique=False)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        image = len(there) > 0 and all(
            _is_image(there[row].as_py()) for row in range(len(there))[:9]
        )
        return Seen(path, kind, Kind.IMAGE if image else Kind.OTHER, nulls, 0, unique=False)
    distinct = pc.count_distinct(there).as_py() if len(there) else 0
    unique, longest = distinct == len(values) > 0, 0
    found = Kind.OTHER
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        longest = pc.max(pc.utf8_length(there)).as_py() or 0
        found = _text_kind(there, distinct)
    elif pa.types.is_temporal(kind):
        found = Kind.TIME
    elif pa.types.is_boolean(kind):
        found = Kind.CATEGORY
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        found = Kind.NUMBER
    return Seen(path, kind, found, nulls, distinct, unique, longest)


def _text_kind(there: pa.Array, distinct: int) -> Kind:
    """Running text has words; a category repeats itself; everything else is a name."""
    if not len(there):
        return Kind.OTHER
    few = distinct <= max(2, min(200, len(there) // 3))
    words = pc.mean(pc.list_value_length(pc.utf8_split_whitespace(there))).as_py()
    if words >= 3 and not few:
        return Kind.TEXT
    if few:
        return Kind.CATEGORY
    shapes = [_is_time(there[row].as_py()) for row in range(min(len(there), 20))]
    return Kind.TIME if all(shapes) else Kind.NAME


def _is_time(text: str) -> bool:
    return re.match(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d|$)", text) is not None


def _is_image(data: bytes) -> bool:
    return data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"))


def _width(there: pa.Array) -> int:
    """Width of a column of vectors; 0 where its lists differ in length or hold no numbers."""
    kind = there.type
    lists = (
        pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)
    )
    if not lists or not len(there):
        return 0
    if not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        return 0
    widths = pc.unique(pc.list_value_length(there))
    return int(widths[0].as_py()) if len(widths) == 1 else 0
