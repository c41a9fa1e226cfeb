"""Turns: those who would do the same work at the same time do it one after the other.

An aid, and no safeguard: nothing may depend on it, since it may be given up at any moment.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.storage import engines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.storage.catalog import Catalog


@contextmanager
def turn(catalog: Catalog, what: str) -> Iterator[None]:
    """Waits, for a minute at most, until nobody else has the turn of the same name.

    On PostgreSQL, for all processes. SQLite has nothing that ends with the process that held it:
    there nobody waits. Who is killed gives it up.

    Args:
        catalog: whose users take turns.
        what: name of the work.
    """
    with ExitStack() as held:
        if catalog.engine.dialect.name == "postgresql":
            # Where it cannot be had, the work is done without: it may be done twice then.
            with suppress(engines.NoConnectionError, sa.exc.DBAPIError):
                connection = engines.connect(catalog.engine)
                held.callback(_give_up, connection)
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{engines.BUSY_SECONDS}s'")
                digest = hashlib.sha256(what.encode()).digest()
                lock = int.from_bytes(digest[:8], signed=True)
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({lock})")
        yield


def _give_up(connection: sa.Connection) -> None:
    with suppress(sa.exc.DBAPIError):
        connection.close()
