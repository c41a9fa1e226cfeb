"""Compares a table of the catalog with the rows that it should have, both in order of keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from lazaretto.ledger.differences import Difference, changed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    Row = dict[str, Any]

_CHUNK = 1000


class Pair(NamedTuple):
    """A row that is not what the ledger says.

    Attributes:
        told: the row that should be there; None: none should.
        found: the row that is there; None: none is.
        difference: the same in words.
    """

    told: Row | None
    found: Row | None
    difference: Difference


class _AsItIs(sa.types.TypeDecorator[Any]):
    """A value of a column, or what lies there instead: SQLite keeps anything in any column."""

    impl = sa.String
    cache_ok = True

    def __init__(self, real: sa.types.TypeEngine[Any]) -> None:
        super().__init__()
        self.real = real

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        if isinstance(self.real, sa.Boolean) and value not in (0, 1):
            return value
        read = self.real.dialect_impl(dialect).result_processor(dialect, None)
        try:
            return value if read is None else read(value)
        except (ValueError, TypeError, AttributeError):
            return value


def compare_rows(should: Connection, connection: Connection, table: sa.Table) -> Iterator[Pair]:
    """Rows that differ, in order of their keys; memory holds a few of them.

    Args:
        should: of a database whose table holds the rows that should be there.
        connection: of the catalog.
        table: which one.
    """
    told, found = _rows(should, table), _rows(connection, table)
    left, right = next(told, None), next(found, None)
    while left is not None or right is not None:
        order = _order(table, left, right)
        if order < 0:
            yield Pair(left, None, Difference(table.name, _words(table, left), "missing"))
        elif order > 0:
            yield Pair(None, right, Difference(table.name, _words(table, right), "added"))
        elif left is not None and right is not None:
            difference = changed(table.name, _words(table, left), right, left)
            if difference is not None:
                yield Pair(left, right, difference)
        left = next(told, None) if order <= 0 else left
        right = next(found, None) if order >= 0 else right


def _rows(connection: Connection, table: sa.Table) -> Iterator[Row]:
    columns: list[Any] = list(table.c)
    order: list[Any] = list(table.primary_key)
    if connection.dialect.name == "sqlite":
        columns = [sa.type_coerce(c, _AsItIs(c.type)).label(c.name) for c in columns]
    else:
        # SQLite compares texts byte by byte; so does this, whatever the database's language.
        order = [c.collate("C") if isinstance(c.type, sa.String) else c for c in order]
    query = sa.select(*columns).order_by(*order)
    for row in connection.execute(query.execution_options(yield_per=_CHUNK)):
        yield row._asdict()


def _order(table: sa.Table, left: Row | None, right: Row | None) -> int:
    """Below 0: the left row comes first; above 0: the right one; 0: they have the same key."""
    if left is None or right is None:
        return 1 if left is None else -1
    one, other = _key(table, left), _key(table, right)
    return (one > other) - (one < other)


def _key(table: sa.Table, row: Row) -> list[tuple[int, Any]]:
    """As SQLite orders: nothing, numbers, texts, bytes."""
    ranks = ((type(None), 0), (int | float, 1), (str, 2))
    values = [row[column.name] for column in table.primary_key]
    found = []
    for value in values:
        rank = next((rank for kind, rank in ranks if isinstance(value, kind)), 3)
        found.append((rank, 0 if value is None else value))
    return found


def _words(table: sa.Table, row: Row | None) -> str:
    return " ".join(str((row or {})[column.name])[:200] for column in table.primary_key)
