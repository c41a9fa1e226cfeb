"""Many rows at once, past SQLAlchemy; rows that may be there already; one of many numbers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import sqlalchemy as sa
    from sqlalchemy.engine import Connection


def bulk_insert(
    connection: Connection,
    table: sa.Table,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
) -> None:
    """Inserts rows inside the connection's transaction, past SQLAlchemy's type conversion.

    Args:
        connection: of `Catalog.transaction`.
        table: where to.
        columns: of the table, in the order of each row's values.
        rows: values as the driver takes them: text, numbers, None.
    """
    names = ", ".join(f'"{table.c[name].name}"' for name in columns)
    cursor: Any = connection.connection.cursor()
    try:
        if connection.dialect.name == "postgresql":
            with cursor.copy(f'COPY "{table.name}" ({names}) FROM STDIN') as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            marks = ", ".join("?" for _ in columns)
            statement = f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})'  # noqa: S608
            cursor.executemany(statement, rows)
    finally:
        cursor.close()


def insert_new(
    connection: Connection,
    table: sa.Table,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
) -> None:
    """Inserts rows as `bulk_insert` does, but those whose key is there already; the first stays.

    Args:
        connection: of `Catalog.transaction`.
        table: where to.
        columns: of the table, in the order of each row's values.
        rows: values as the driver takes them.
    """
    names = ", ".join(f'"{table.c[name].name}"' for name in columns)
    cursor: Any = connection.connection.cursor()
    try:
        if connection.dialect.name == "postgresql":
            new = f"new_{table.name}"
            cursor.execute(
                f'CREATE TEMPORARY TABLE "{new}" ON COMMIT DROP AS '  # noqa: S608
                f'SELECT {names}, 0::bigint AS place FROM "{table.name}" LIMIT 0'
            )
            with cursor.copy(f'COPY "{new}" ({names}, place) FROM STDIN') as copy:
                for place, row in enumerate(rows):
                    copy.write_row((*row, place))
            cursor.execute(
                f'INSERT INTO "{table.name}" ({names}) '  # noqa: S608
                f'SELECT {names} FROM "{new}" ORDER BY place ON CONFLICT DO NOTHING'
            )
            cursor.execute(f'DROP TABLE "{new}"')
        else:
            marks = ", ".join("?" for _ in columns)
            statement = f'INSERT OR IGNORE INTO "{table.name}" ({names}) VALUES ({marks})'  # noqa: S608
            cursor.executemany(statement, rows)
    finally:
        cursor.close()


def upsert(connection: Connection, table: sa.Table) -> Any:
    """An insert that may say what becomes of a row that is there, as this database writes it."""
    # Each dialect takes its time to load, and one is used.
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


def among(
    connection: Connection, column: sa.Column[int], values: Sequence[int]
) -> sa.ColumnElement[bool]:
    """The condition that a column has one of some numbers, however many: one parameter has them.

    Args:
        connection: of the catalog.
        column: of integers.
        values: the numbers.
    """
    import sqlalchemy as sa

    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import ARRAY

        return column == sa.any_(sa.literal(list(values), ARRAY(sa.BigInteger)))
    each = sa.func.json_each(json.dumps(list(values))).table_valued("value")
    return column.in_(sa.select(each.c.value))
