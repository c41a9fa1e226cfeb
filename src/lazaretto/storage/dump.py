"""Copies of a catalog, and back: SQLite's online backup; ``pg_dump`` and ``pg_restore``.

All of them work while others write: a copy is of one moment, and what is loaded is there at once or
not at all. Programs get the address and the password from a file that only this user can read.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.errors import SystemFaultError, UsageError
from lazaretto.faults import as_system_fault
from lazaretto.folders import working_folder
from lazaretto.redact import safe_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.engine import URL, Connection

    from lazaretto.storage.catalog import Catalog

_SQLITE, _POSTGRES = b"SQLite format 3\0", b"PGDMP"
_SERVICE = "lazaretto"
_ATTEMPTS = 10


def copy_sqlite(catalog: Catalog, target: Path) -> None:
    """Copies a SQLite catalog, as it is at one moment, into a file of its own.

    Raises:
        SystemFaultError: the file cannot be written.
    """
    with (
        as_system_fault(f"the catalog cannot be copied to {target}"),
        catalog.engine.connect() as connection,
        closing(sqlite3.connect(target)) as copy,
    ):
        source = connection.connection.driver_connection
        assert isinstance(source, sqlite3.Connection)  # noqa: S101  what the engine was made for
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, without others beside it


@contextmanager
def opened_copy(file: Path) -> Iterator[Connection]:
    """A copy of a SQLite catalog, for reading; nothing is written beside it.

    Raises:
        SystemFaultError: it is no sound database.
    """
    uri = f"{file.absolute().as_uri()}?mode=ro&immutable=1"
    engine = sa.create_engine("sqlite://", creator=lambda: sqlite3.connect(uri, uri=True))
    try:
        with as_system_fault(f"{file} cannot be read"), engine.connect() as connection:
            said = connection.exec_driver_sql("PRAGMA quick_check").scalar()
            if said != "ok":
                raise SystemFaultError(f"{file} is damaged: {said}")
            yield connection
    finally:
        engine.dispose()


def load_sqlite(file: Path, catalog: Catalog) -> None:
    """Replaces the contents of a SQLite catalog by those of a copy, in one transaction.

    Raises:
        SystemFaultError: the database cannot be written, or stays busy for a minute.
    """
    uri = f"{file.absolute().as_uri()}?mode=ro&immutable=1"
    with (
        as_system_fault(f"{catalog.display_url} cannot be restored"),
        closing(sqlite3.connect(uri, uri=True)) as source,
        closing(sqlite3.connect(str(catalog.engine.url.database), timeout=60)) as database,
    ):
        source.backup(database)


def dump_postgres(catalog: Catalog, connection: Connection, target: Path) -> None:
    """Dumps a PostgreSQL catalog as a connection sees it.

    Args:
        catalog: the catalog.
        connection: of `Catalog.read`: the dump is of the same moment.
        target: file to write.

    Raises:
        UsageError: there is no ``pg_dump`` here.
        SystemFaultError: it failed.
    """
    snapshot = connection.scalar(sa.text("SELECT pg_export_snapshot()"))
    words = ["--format=custom", "--no-owner", "--no-privileges"]
    words += [f"--snapshot={snapshot}", f"--file={target}"]
    _run("pg_dump", words, catalog.engine.url)


def load_postgres(file: Path, catalog: Catalog) -> None:
    """Replaces the tables of a PostgreSQL catalog by those of a dump, in one transaction.

    Writers wait meanwhile. Somebody who reads several tables may stand in the way: one of the two
    is then ended by the database, and where it was this one, it is done again.

    Raises:
        UsageError: there is no ``pg_restore`` here.
        SystemFaultError: it failed, and nothing was changed.
    """
    words = ["--single-transaction", "--clean", "--if-exists", "--no-owner", "--no-privileges"]
    words += [f"--dbname=service={_SERVICE}", str(file)]
    for left in reversed(range(_ATTEMPTS)):
        try:
            with catalog.transaction():
                _run("pg_restore", words, catalog.engine.url)
            return
        except SystemFaultError as error:
            if not left or "deadlock" not in str(error):
                raise


def dumped_rows(file: Path, table: str) -> list[list[str]]:
    """Rows of a small table as a dump has them, as texts.

    Raises:
        UsageError: there is no ``pg_restore`` here.
        SystemFaultError: the dump cannot be read.
    """
    said = _run("pg_restore", ["--data-only", f"--table={table}", "--file=-", str(file)], None)
    lines = iter(said.splitlines())
    for line in lines:
        if line.startswith("COPY "):
            break
    found = []
    for line in lines:
        if line == "\\.":
            break
        found.append(line.split("\t"))
    return found


def is_dump(file: Path) -> bool:
    """Whether a file is a dump of PostgreSQL; otherwise it is a copy of a SQLite catalog.

    Raises:
        UsageError: it is neither, or cannot be read.
    """
    try:
        with file.open("rb") as opened:
            begin = opened.read(len(_SQLITE))
    except OSError as error:
        raise UsageError(f"cannot read {str(file)!r}: {error.strerror or error}") from error
    if begin != _SQLITE and not begin.startswith(_POSTGRES):
        raise UsageError(f"{str(file)!r} is no backup of `lazaretto catalog backup`")
    return begin != _SQLITE


def _run(program: str, words: list[str], url: URL | None) -> str:
    """Runs a program of PostgreSQL, and gives what it prints."""
    found = shutil.which(program)
    if found is None:
        raise UsageError(f"this needs {program} of PostgreSQL: apt install postgresql-client")
    with working_folder() as folder:
        service = folder / "service.conf"
        service.touch(mode=0o600)
        service.write_text(_service(url), encoding="utf-8")
        more = {"PGSERVICEFILE": str(service), "PGSERVICE": _SERVICE} if url is not None else {}
        done = subprocess.run(
            [found, *words], env=os.environ | more, capture_output=True, text=True, check=False
        )
    if done.returncode:
        secret = "" if url is None else str(url.password or "")
        reason = safe_text(" ".join(done.stderr.split()), hide=[secret], limit=400)
        raise SystemFaultError(f"{program} failed: {reason}")
    return done.stdout


def _service(url: URL | None) -> str:
    """A libpq service file, which says what the URL says."""
    if url is None:
        return ""
    options = url.translate_connect_args(database="dbname", username="user") | dict(url.query)
    lines = [f"{name}={value}" for name, value in options.items() if value is not None]
    return "\n".join([f"[{_SERVICE}]", *lines, ""])
