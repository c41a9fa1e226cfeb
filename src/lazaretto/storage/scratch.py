"""A database of one's own: what is made anew to be compared lies there, and not in memory."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.folders import working_folder
from lazaretto.storage.column_types import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.engine import Connection


@contextmanager
def scratch(tables: Sequence[sa.Table]) -> Iterator[Connection]:
    """Opens empty tables of the catalog in a SQLite file that is gone afterwards.

    Rules between rows (foreign keys) are not kept there.

    Args:
        tables: of the catalog's metadata.
    """
    with working_folder() as folder:
        engine = sa.create_engine(f"sqlite:///{folder / 'scratch.db'}")

        @sa.event.listens_for(engine, "connect")
        def connect(connection: Any, _record: object) -> None:
            connection.isolation_level = None
            # Nothing of it outlives the process, so nothing of it must survive a crash.
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA synchronous = OFF")

        @sa.event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN")

        try:
            with engine.connect() as connection:
                metadata.create_all(connection, tables=list(tables))
                yield connection
        finally:
            engine.dispose()
