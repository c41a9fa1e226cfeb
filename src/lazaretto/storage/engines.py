"""Engines of the catalog's databases: how many connections they keep, and how they begin."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.errors import SystemFaultError, UsageError
from lazaretto.redact import error_line

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection, Engine

WRITER_LOCK = 0x6C617A6172  # one advisory lock per database for all of Lazaretto's writers
BUSY_SECONDS = 60
"""How long a writer waits for its turn."""
READ_SECONDS = 30
"""How long anybody waits for a connection: reads are short, so that more would be in vain."""
CONNECT_SECONDS = 10
"""How long PostgreSQL may take to answer."""
MOST_CONNECTIONS = 10
"""Connections to PostgreSQL of one process."""
# What PostgreSQL says when all connections that it allows are in use. Its driver has no code for
# what goes wrong while it connects.
_FULL = ("too many connections", "too many clients", "connection slots are reserved")


class NoConnectionError(Exception):
    """All connections stayed in use, of this process or of the database; says which."""


def connect(engine: Engine) -> Connection:
    """A connection, for which others are waited for a while where there are no more.

    Raises:
        NoConnectionError: none became free.
        sqlalchemy.exc.DBAPIError: the database cannot be used.
    """
    deadline, pause = time.monotonic() + READ_SECONDS, 0.05
    while True:
        try:
            return engine.connect()
        except sa.exc.TimeoutError:
            raise NoConnectionError("all connections of this process are in use") from None
        except sa.exc.OperationalError as error:
            if not any(words in str(error.orig) for words in _FULL):
                raise
            if time.monotonic() > deadline:
                raise NoConnectionError("all connections that it allows are in use") from None
        time.sleep(pause)
        pause = min(2 * pause, 1.0)


def make_engine(url: URL) -> Engine:
    """The engine of a catalog, whose transactions begin as `Catalog` needs them to.

    Args:
        url: with the driver that is used.

    Raises:
        UsageError: the driver is not installed.
        SystemFaultError: the folder of a SQLite file cannot be made.
    """
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url)
    try:
        engine = sa.create_engine(
            url,
            pool_pre_ping=True,
            # One is kept when nobody needs it: each process of a deployment keeps its own.
            pool_size=1,
            max_overflow=MOST_CONNECTIONS - 1,
            pool_timeout=READ_SECONDS,
            connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": "lazaretto"},
        )
    except ModuleNotFoundError as error:
        raise UsageError(
            "PostgreSQL needs the psycopg driver: pip install 'lazaretto[postgres]'"
        ) from error

    @sa.event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("lazaretto_writes"):
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{BUSY_SECONDS}s'")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})")

    return engine


def _sqlite_engine(url: URL) -> Engine:
    path = Path(str(url.database)).expanduser()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SystemFaultError(
            f"the catalog's folder {path.parent} cannot be made: {error_line(error)}"
        ) from error
    engine = sa.create_engine(
        url.set(database=str(path)),
        # A file may be opened as often as there are threads: no reader waits for another.
        max_overflow=-1,
        connect_args={"timeout": BUSY_SECONDS},
    )

    @sa.event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver would begin by itself, and too late
        connection.execute("PRAGMA foreign_keys = ON")
        _switch_to_wal(connection)

    @sa.event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("lazaretto_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Once switched a database stays in WAL mode; the switch itself ignores the busy timeout."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
