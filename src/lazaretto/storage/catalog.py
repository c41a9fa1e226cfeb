"""The catalog: one SQLite or PostgreSQL database that holds all state; its transactions."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url

from lazaretto.errors import NotFoundError, SystemFaultError, UsageError
from lazaretto.redact import error_line, safe_uri
from lazaretto.storage import engines

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA_VERSION = "0011"
_HOW_TO_MAKE = (
    "check --catalog or LAZARETTO_CATALOG_URL, or make one with `lazaretto catalog upgrade`"
)
_OUR_MISTAKES = (sa.exc.IntegrityError, sa.exc.ProgrammingError, sa.exc.DataError)


@dataclass(frozen=True, slots=True)
class Catalog:
    """An open catalog.

    Attributes:
        engine: SQLAlchemy engine, for reading in bulk; writers go through `transaction`.
        display_url: the URL without user, password and options.
    """

    engine: Engine = field(repr=False)
    display_url: str
    _writer: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @classmethod
    def open(cls, url: str, *, create: bool = True, upgrade: bool = False) -> Catalog:
        """Opens a catalog of this version; where there is none yet, it is made by default.

        Other machines may still use a catalog of an older version, so that it is migrated only
        where somebody asks for it. One of a newer version is used where that version allows it.

        Args:
            url: SQLAlchemy URL, ``sqlite:///path`` or ``postgresql://user@host/name``.
            create: make the catalog in a database that has none; otherwise that is an error.
            upgrade: migrate a catalog of an older version; otherwise that is an error.

        Raises:
            UsageError: the URL is not of a supported database.
            NotFoundError: there is none, and none is to be made.
            SystemFaultError: it cannot be reached, or its schema is of another version.
        """
        if not create:
            _require_file(supported_url(url))
        catalog = cls.at(url)
        found = catalog.version()
        if found == SCHEMA_VERSION or (found is not None and catalog.is_usable(found)):
            return catalog
        if found is None and not create:
            raise NotFoundError(f"there is no catalog in {catalog.display_url}: {_HOW_TO_MAKE}")
        if found is not None and found > SCHEMA_VERSION:
            raise SystemFaultError(
                f"the catalog {catalog.display_url} has schema {found}, which this Lazaretto "
                f"({SCHEMA_VERSION}) cannot work on any more: install the newer Lazaretto"
            )
        if found is not None and not upgrade:
            raise SystemFaultError(
                f"the catalog {catalog.display_url} has schema {found}; this Lazaretto needs "
                f"{SCHEMA_VERSION}: run `lazaretto catalog upgrade`, once nothing of the other "
                "version works on it any more"
            )
        catalog.upgrade()
        return catalog

    @classmethod
    def at(cls, url: str) -> Catalog:
        """What is at a URL, whether or not it is a catalog; a SQLite file is made on first use.

        Raises:
            UsageError: the URL is not of a supported database.
        """
        parsed = supported_url(url)
        return cls(
            engines.make_engine(parsed), safe_uri(parsed.render_as_string(hide_password=True))
        )

    def version(self) -> str | None:
        """Schema revision of the database; None when it has none yet."""
        with self._guarded() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            found = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
            return None if found is None else str(found)

    def is_usable(self, found: str) -> bool:
        """Whether a newer version says that this one may still work on the catalog.

        A migration that only adds leaves ``usable_from`` as it is, so that old and new code work
        side by side; any other one sets it to its own revision.

        Args:
            found: schema revision of the database.
        """
        if found <= SCHEMA_VERSION:
            return False
        with self._guarded() as connection:
            if not sa.inspect(connection).has_table("workspace"):
                return False
            oldest = connection.scalar(sa.text("SELECT usable_from FROM workspace"))
            return oldest is not None and str(oldest) <= SCHEMA_VERSION

    def upgrade(self) -> None:
        """Migrates the schema to this version; at most one process does it, others wait.

        Raises:
            SystemFaultError: the database was made by a newer Lazaretto, or cannot be reached.
        """
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.set_main_option("path_separator", "os")
        with self.transaction() as connection:
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, SCHEMA_VERSION)
            except CommandError as error:
                if "before the first release" in str(error):
                    raise SystemFaultError(f"{self.display_url}: {error}") from error
                raise SystemFaultError(
                    f"the catalog {self.display_url} was made by a newer Lazaretto than this one, "
                    f"which knows schema {SCHEMA_VERSION}: install that version"
                ) from error

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Opens a read-write transaction; it commits at the end, or rolls back on any exception.

        There is one writer at a time, on both databases (SQLite ``BEGIN IMMEDIATE``, PostgreSQL
        advisory lock): the ledger's chain needs it anyway, and what a stage checks stays true until
        it commits.

        A thread that waits for its turn to write holds no connection meanwhile, so that however
        many wait, others can read.

        Raises:
            SystemFaultError: the database cannot be reached, or stays busy for a minute.
        """
        if not self._writer.acquire(timeout=engines.BUSY_SECONDS):
            raise self._busy("another thread of this process has been writing for a minute")
        try:
            with self._guarded(lazaretto_writes=True) as connection:
                yield connection
        finally:
            self._writer.release()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Opens a read-only view of one moment; never waits for a writer.

        Raises:
            SystemFaultError: the database cannot be reached, or has no connection free for half a
                minute.
        """
        options: dict[str, Any] = {}
        if self.engine.dialect.name == "postgresql":
            options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self._guarded(**options) as connection:
            yield connection

    @contextmanager
    def _guarded(self, **options: Any) -> Iterator[Connection]:
        try:
            with (
                engines.connect(self.engine).execution_options(**options) as connection,
                connection.begin(),
            ):
                yield connection
        except engines.NoConnectionError as error:
            raise self._busy(str(error)) from None
        except (sa.exc.DatabaseError, sa.exc.InterfaceError) as error:
            if isinstance(error, _OUR_MISTAKES):
                raise
            reason = error_line(error.orig or error, hide=_secrets(self.engine.url), limit=400)
            raise SystemFaultError(
                f"the catalog {self.display_url} cannot be used: {reason}"
            ) from None

    def _busy(self, why: str) -> SystemFaultError:
        return SystemFaultError(f"the catalog {self.display_url} is busy: {why}; try again")


def _secrets(url: URL) -> list[str]:
    """What a driver's words may repeat of a URL and must not be shown."""
    options = {
        name: value for name, value in url.query.items() if name not in ("host", "port", "dbname")
    }
    values = [
        v for value in options.values() for v in ((value,) if isinstance(value, str) else value)
    ]
    return [str(url.password or ""), *values]


def parse_url(url: str) -> URL:
    """Takes a catalog's URL apart.

    Raises:
        UsageError: it is none; nothing of it is repeated.
    """
    try:
        return make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # ValueError: a port that is no number
        raise UsageError(
            "the catalog URL cannot be read; it looks like sqlite:///catalog.db or "
            "postgresql://host/name, with %40 for an @ in a password"
        ) from None


def supported_url(url: str) -> URL:
    """A catalog's URL with the driver that is used for it.

    Raises:
        UsageError: it is none, or of a database that is not supported.
    """
    parsed = parse_url(url)
    backend = parsed.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise UsageError(f"the catalog is SQLite or PostgreSQL, not {backend!r}")
    if parsed.database in (None, "", ":memory:"):
        raise UsageError(
            "a catalog in memory would be lost: give a file, sqlite:///path/to/catalog.db"
        )
    return parsed


def _require_file(url: URL) -> None:
    """SQLite makes a file that is not there: a slip in its name must not look like an answer."""
    if url.get_backend_name() == "sqlite":
        path = Path(str(url.database)).expanduser()
        if not path.is_file():
            raise NotFoundError(f"there is no catalog at {path}: {_HOW_TO_MAKE}")
