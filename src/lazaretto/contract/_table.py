"""Makes a table of rules that was written in YAML ready for the columns of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from lazaretto.batch import declared
from lazaretto.contract._run import ColumnCheck, Prepared

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from lazaretto.contract._rules import ColumnForm, RuleTable
    from lazaretto.policy.contract import Type

_BY = "the contract"


def prepare(table: RuleTable) -> Prepared:
    """The same, with what is said of a column that is missing or of another type."""
    columns = [
        ColumnCheck(
            column.name,
            f"there is no column {column.name!r}, which the contract requires"
            if column.required
            else None,
            _type_check(column),
        )
        for column in table.columns
    ]
    return Prepared((), columns, table.rules, {})


def declared_types(table: RuleTable) -> list[pa.Field]:
    """Types of columns, for files that say none themselves."""
    import pyarrow as pa

    types = {
        "text": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
    }
    return [
        declared(column.name, types[column.type], _BY)
        for column in table.columns
        if column.type in types
    ]


def _type_check(column: ColumnForm) -> Callable[[pl.Series], str | None]:
    def wrong(series: pl.Series) -> str | None:
        kind = series.dtype
        # Where no value is there, none is of another type.
        if column.type is None or kind == pl.Null or _is(kind, column.type):
            return None
        return f"column {column.name!r} has type {kind}, the contract says {column.type}"

    return wrong


def _is(kind: pl.DataType, said: Type) -> bool:  # noqa: PLR0911  one return per type
    match said:
        case "text":
            return isinstance(kind, pl.String | pl.Categorical | pl.Enum)
        case "integer":
            return kind.is_integer()
        case "number":
            return kind.is_numeric()
        case "boolean":
            return kind == pl.Boolean
        case "date":
            return kind == pl.Date
        case "datetime":
            return isinstance(kind, pl.Datetime)
        case "vector":
            return isinstance(kind, pl.List | pl.Array) and kind.inner.is_numeric()
        case "list":
            return isinstance(kind, pl.List | pl.Array)
        case "struct":
            return isinstance(kind, pl.Struct)
        case "binary":
            return kind == pl.Binary
