"""Backups of the catalog, verified when they are made; and a catalog restored from one."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.errors import (
    LedgerError,
    NotFoundError,
    OtherStoreError,
    SystemFaultError,
    UsageError,
)
from lazaretto.ledger.chain import GENESIS
from lazaretto.ledger.walk import walk
from lazaretto.storage import tables
from lazaretto.storage.catalog import Catalog, supported_url
from lazaretto.storage.dump import (
    copy_sqlite,
    dump_postgres,
    dumped_rows,
    is_dump,
    load_postgres,
    load_sqlite,
    opened_copy,
)
from lazaretto.storage.identity import store_id
from lazaretto.storage.settings import resolve_settings
from lazaretto.storage.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import Connection

_SQLITE, _POSTGRES = "sqlite", "postgresql"


@dataclass(frozen=True, slots=True)
class Head:
    """Where a ledger ends.

    Attributes:
        workspace: id of the workspace whose ledger it is.
        entries: how many entries it has.
        hash: of the last one, hex; 64 zeros for none.
    """

    workspace: str
    entries: int
    hash: str


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was made.

    Attributes:
        catalog: URL of the catalog, without a password.
        file: the backup.
        size: of it, in bytes.
        head: of the ledger in the backup, read back from it.
        problem: what is wrong with the ledger that was copied; None: its chain holds.
    """

    catalog: str
    file: str
    size: int
    head: Head
    problem: str | None


@dataclass(frozen=True, slots=True)
class Restored:
    """A catalog that was restored.

    Attributes:
        catalog: its URL, without a password.
        file: the backup that it has now the contents of.
        head: of its ledger as it is in the backup.
        before: of the ledger that was replaced; None: there was none.
    """

    catalog: str
    file: str
    head: Head
    before: Head | None


def backup(catalog: Catalog, target: Path) -> Backup:
    """Copies a catalog into a file, while others work on it, and reads the copy back.

    Args:
        catalog: SQLite or PostgreSQL.
        target: file to write. Of SQLite it is a database, of PostgreSQL an archive of ``pg_dump``.

    Raises:
        UsageError: the file exists, its folder does not, or ``pg_dump`` is missing.
        SystemFaultError: it cannot be written, or what is read back is not what was copied.

    Examples:
        >>> from pathlib import Path
        >>> backup(workspace.catalog, Path("backup.db")).problem is None
        True
    """
    if target.exists():
        raise UsageError(f"{str(target)!r} exists already and is kept; name another file")
    if not target.absolute().parent.is_dir():
        raise UsageError(f"the folder of {str(target)!r} does not exist")
    partial = target.with_name(target.name + ".part")
    partial.unlink(missing_ok=True)  # of a backup that was cut off
    try:
        if catalog.engine.dialect.name == _SQLITE:
            copy_sqlite(catalog, partial)
            with opened_copy(partial) as connection:
                head, problem = _head(connection), _problem(connection)
        else:
            with catalog.read() as connection:
                head, problem = _head(connection), _problem(connection)
                dump_postgres(catalog, connection, partial)
            found = _dumped_head(partial)
            if found != head:
                raise SystemFaultError(f"{partial} holds the ledger up to {found}, not {head}")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return Backup(catalog.display_url, str(target), target.stat().st_size, head, problem)


def restore(file: Path, *, catalog_url: str | None = None, store: str | None = None) -> Restored:
    """Makes a catalog what a backup says; at once, or not at all.

    Args:
        file: a backup.
        catalog_url: of the catalog, which need not be there; default by `resolve_settings`.
        store: root of its store; default by `resolve_settings`.

    Raises:
        UsageError: the file is no backup, or one of the other kind of database.
        OtherStoreError: the backup is of another workspace than the store.
        SystemFaultError: file or database cannot be used.

    Examples:
        >>> from pathlib import Path
        >>> made = backup(workspace.catalog, Path("backup.db"))
        >>> copy = "sqlite:///restored.db"
        >>> restored = restore(Path("backup.db"), catalog_url=copy, store="store")
        >>> restored.head == made.head
        True
    """
    settings = resolve_settings(catalog_url=catalog_url, store=store)
    url, place, dump = settings.catalog_url, Store.at(settings.store), is_dump(file)
    kind = supported_url(url).get_backend_name()
    if dump != (kind == _POSTGRES):
        raise UsageError(
            f"{str(file)!r} is a backup of {_POSTGRES if dump else _SQLITE}, the catalog is {kind}"
        )
    head = _dumped_head(file) if dump else _copied_head(file)
    marked = store_id(place)
    if marked is not None and marked != head.workspace:
        problem = f"the backup is of workspace {head.workspace}, the store of workspace {marked}"
        raise OtherStoreError(str(file), place.root, problem)
    before = _head_of(url)
    catalog = Catalog.at(url)  # of whatever version: a backup of an older one is not migrated
    (load_postgres if dump else load_sqlite)(file, catalog)
    catalog.engine.dispose()  # no connection that has seen what was there before
    last = sa.select(tables.ledger.c.hash).where(tables.ledger.c.seq == head.entries)
    with catalog.read() as connection:  # others may have gone on already
        found = connection.scalar(last) or GENESIS
    catalog.engine.dispose()
    if found != head.hash:
        raise SystemFaultError(
            f"entry {head.entries} of the catalog {catalog.display_url} is {found}, in the backup "
            f"{head.hash}: restore it again"
        )
    return Restored(catalog.display_url, str(file), head, before)


def _head(connection: Connection) -> Head:
    """Where the ledger ends.

    Raises:
        SystemFaultError: the database is no catalog.
    """
    try:
        identity = connection.scalar(sa.select(tables.workspace.c.id).limit(1))
        row = connection.execute(sa.select(tables.ledger_head)).one_or_none()
    except sa.exc.DatabaseError:
        identity = None
    if identity is None:
        raise SystemFaultError("the database is no catalog of this version of Lazaretto")
    entries, last = (0, GENESIS) if row is None else (row.seq, row.hash)
    return Head(str(identity), entries, last)


def _problem(connection: Connection) -> str | None:
    """What is wrong with the chain of the ledger."""
    size, last = 0, GENESIS
    try:
        for tree, last in walk(connection):  # noqa: B007  the last one counts
            size = tree.size
    except LedgerError as error:
        return str(error)
    head = _head(connection)
    if (head.entries, head.hash) != (size, last):
        return f"entry {size} is not the one that the ledger's head names"
    return None


def _dumped_head(file: Path) -> Head:
    identity, rows = dumped_rows(file, "workspace"), dumped_rows(file, "ledger_head")
    if len(identity) != 1:
        raise SystemFaultError(f"{file} is no dump of a catalog of this version of Lazaretto")
    entries, last = (0, GENESIS) if not rows else (int(rows[0][1]), rows[0][2])
    return Head(identity[0][0], entries, last)


def _copied_head(file: Path) -> Head:
    with opened_copy(file) as connection:
        return _head(connection)


def _head_of(url: str) -> Head | None:
    """The head of the ledger that is to be replaced; None where there is none to be read."""
    with suppress(NotFoundError, SystemFaultError):
        catalog = Catalog.open(url, create=False)
        try:
            with catalog.read() as connection:
                return _head(connection)
        finally:
            catalog.engine.dispose()
    return None
