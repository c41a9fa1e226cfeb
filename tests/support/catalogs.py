"""New catalogs that are copies: migrated once a session, because that takes longer than most tests.

Each copy gets an id of its own, as a catalog that is made has one.
"""

from __future__ import annotations

import shutil
import sqlite3
import uuid
from contextlib import closing
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from pathlib import Path

_NEW_ID = "UPDATE workspace SET id = '{id}'"
_TEMPLATE = "lz_template"


def never_sync() -> None:
    """No catalog of a test waits for the disk: a killed process loses nothing by that."""

    @sa.event.listens_for(sa.pool.Pool, "connect")
    def connected(connection: Any, _record: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF")


def make_sqlite(file: Path) -> Path:
    """The catalog that `copy_sqlite` copies, made by the library's own migrations."""
    from lazaretto.storage.catalog import Catalog

    Catalog.open(f"sqlite:///{file}").engine.dispose()
    return file


def copy_sqlite(made: Path, file: Path) -> str:
    """A new catalog in a file that is not there yet; its URL."""
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(made, file)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(_NEW_ID.format(id=uuid.uuid4().hex))
    return f"sqlite:///{file}"


def make_postgres(server: str) -> str:
    """The database that `copy_postgres` copies, made by the library's own migrations; its name.

    Args:
        server: URL of the server, with ``{name}`` in place of a database.
    """
    from lazaretto.storage.catalog import Catalog

    create_database(server, _TEMPLATE)
    Catalog.open(server.format(name=_TEMPLATE)).engine.dispose()
    return _TEMPLATE


def copy_postgres(server: str, made: str, name: str) -> str:
    """A new catalog in a database that is not there yet; its URL."""
    create_database(server, name, template=made)
    url = server.format(name=name)
    with _connected(url) as connection:
        connection.exec_driver_sql(_NEW_ID.format(id=uuid.uuid4().hex))
    return url


def create_database(server: str, name: str, *, template: str = "template1") -> None:
    """A database like another one; without one it is empty."""
    with _connected(server.format(name="postgres")) as connection:
        quick = " STRATEGY FILE_COPY" if _version(connection) >= (15,) else ""
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}{quick}")


def drop_database(server: str, name: str) -> None:
    """Drops a database, whoever uses it."""
    with _connected(server.format(name="postgres")) as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


def _version(connection: sa.Connection) -> tuple[int, ...]:
    return connection.dialect.server_version_info or ()


def _connected(url: str) -> sa.Connection:
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    return engine.connect()
