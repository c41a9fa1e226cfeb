"""Types of CSV columns: the first of a row of types that every cell of the column has.

The types, their order and what counts as one are those of pyarrow (``ConvertOptions`` defaults: an
empty number is null, text is never null), as it would infer them if the file were one block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from lazaretto.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Sequence

_OPTIONS = pa_csv.ConvertOptions()
_NULLS = pa.array(_OPTIONS.null_values, pa.string())
_TRUE = pa.array(_OPTIONS.true_values, pa.string())
_FALSE = pa.array(_OPTIONS.false_values, pa.string())
_TIME = r"^\d\d:\d\d(:\d\d)?$"
_TYPES = (
    pa.null(),
    pa.int64(),
    pa.bool_(),
    pa.date32(),
    pa.time32("s"),
    pa.timestamp("s"),
    pa.timestamp("s", "UTC"),
    pa.timestamp("ns"),
    pa.timestamp("ns", "UTC"),
    pa.float64(),
    pa.string(),
)


class CellTypes:
    """Looks at cells, block by block, and then converts them."""

    def __init__(self, names: Sequence[str], delivery: str) -> None:
        self._names, self._delivery = list(names), delivery
        self._possible = [_TYPES for _ in names]

    def look(self, cells: pa.RecordBatch) -> pa.Table:
        """Strikes out types that the cells do not have, and returns the cells as text.

        Raises:
            DeliveryError: code ``unreadable``: they are not UTF-8.
        """
        texts = []
        for number, (name, column) in enumerate(zip(self._names, cells.columns, strict=True)):
            try:
                text = column.cast(pa.string())
            except pa.ArrowInvalid as error:
                raise DeliveryError(
                    f"{self._delivery}: column {name!r} is not UTF-8 text", code="unreadable"
                ) from error
            self._possible[number] = _having(text, self._possible[number])
            texts.append(text)
        return pa.table(texts, names=self._names)

    def schema(self) -> pa.Schema:
        """Columns in the first type that all cells seen so far have."""
        kinds = (possible[0] for possible in self._possible)
        return pa.schema(list(zip(self._names, kinds, strict=True)))

    def convert(self, cells: pa.RecordBatch) -> pa.RecordBatch:
        """Text cells in the types of `schema`."""
        columns = [
            text if pa.types.is_string(kind) else _convert(_with_nulls(text), kind)
            for text, kind in zip(cells.columns, self.schema().types, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema())


def _having(text: pa.Array, possible: tuple[pa.DataType, ...]) -> tuple[pa.DataType, ...]:
    """Those of the types that all cells have."""
    if len(possible) == 1:
        return possible
    cells, found = _with_nulls(text), []
    if cells.null_count == len(cells):
        return possible
    for kind in possible:
        try:
            if not pa.types.is_string(kind):
                _convert(cells, kind)
            found.append(kind)
        except pa.ArrowInvalid:
            pass
    return tuple(found)


def _with_nulls(text: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_in(text, _NULLS), None, text)


def _convert(cells: pa.Array, kind: pa.DataType) -> pa.Array:
    """Cells in a type.

    Raises:
        ArrowInvalid: not all of them have it.
    """
    if pa.types.is_null(kind):
        if cells.null_count < len(cells):
            raise pa.ArrowInvalid("not empty")
        return pa.nulls(len(cells))
    if pa.types.is_boolean(kind):
        known = pc.or_(pc.is_in(cells, _TRUE), pc.is_in(cells, _FALSE))
        if pc.any(pc.and_(pc.is_valid(cells), pc.invert(known))).as_py():
            raise pa.ArrowInvalid("not true or false")
        return pc.if_else(pc.is_valid(cells), pc.is_in(cells, _TRUE), None)
    if pa.types.is_timestamp(kind):
        return cells.cast(kind)
    cells = pc.ascii_trim(cells, " \t")  # of numbers, days and times, as pyarrow does
    if pa.types.is_time(kind):
        # Arrow casts no text to times of day.
        if pc.any(pc.invert(pc.match_substring_regex(cells, _TIME))).as_py():
            raise pa.ArrowInvalid("not a time of day")
        moments = pc.binary_join_element_wise("1970-01-01", cells, " ").cast(pa.timestamp("s"))
        return moments.cast(kind)
    return cells.cast(kind)
