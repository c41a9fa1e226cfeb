"""What somebody does who has the catalog's database in hand: changes, deletes and copies rows."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.storage.column_types import UtcDateTime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.storage.workspace import Workspace


@contextmanager
def intruder(workspace: Workspace, *, stay: bool = False) -> Iterator[Connection]:
    """A connection that no rule between rows holds back.

    Args:
        workspace: whose catalog.
        stay: whether what is done stays; otherwise it is undone at the end.
    """
    engine = sa.create_engine(workspace.catalog.engine.url)
    try:
        with engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("SET session_replication_role = replica")
            yield connection
            (connection.commit if stay else connection.rollback)()
    finally:
        engine.dispose()


_START = datetime(2001, 1, 1, tzinfo=UTC)
_OTHERS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (UtcDateTime, lambda value: (value or _START) + timedelta(seconds=1)),
    (sa.Boolean, lambda value: not value),
    (sa.JSON, lambda _: {"changed": 1}),
    (sa.Integer, lambda value: (value or 0) + 1000),
    (sa.Float, lambda value: (value or 0.0) + 0.5),
    (sa.String, lambda value: ("0" if (value or "")[:1] != "0" else "1") + (value or "")[1:]),
)


def other_value(column: sa.Column[Any], value: Any) -> Any:
    """A value that the column can have, and that is another one."""
    return next(other(value) for kind, other in _OTHERS if isinstance(column.type, kind))


def row_is(table: sa.Table, row: Any) -> list[sa.ColumnElement[bool]]:
    """Conditions that name one row."""
    return [column == row._mapping[column.name] for column in table.primary_key]


def rows_of(connection: Connection, table: sa.Table) -> list[Any]:
    """All rows, in order of their keys."""
    return list(connection.execute(sa.select(table).order_by(*table.primary_key)))
