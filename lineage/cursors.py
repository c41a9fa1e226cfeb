"""Cursors: how far each projection of the ledger has come, and how it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.ledger.chain import entries, head
from lazaretto.storage.tables import projection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
    from lazaretto.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Projection:
    """What follows from the ledger, and is written as entries come.

    Attributes:
        name: of its cursor.
        kinds: of the entries that it follows from.
        at_once: entries of one transaction.
        write: writes what some entries tell, for a store of that root.
    """

    name: str
    kinds: tuple[str, ...]
    at_once: int
    write: Callable[[Connection, str, Sequence[Entry]], None]


def follow(workspace: Workspace, what: Projection) -> int:
    """Brings a projection up to the ledger's head; how many entries it moved past.

    It is safe to repeat, and to run from many processes: the catalog has one writer at a time.
    """
    done = 0
    while True:
        with workspace.catalog.read() as connection:
            if lag(connection, what.name) <= 0:
                return done
        with workspace.catalog.transaction() as connection:
            done += follow_some(connection, workspace.store.root, what)


def follow_some(connection: Connection, store_root: str, what: Projection) -> int:
    """Writes the next entries into a projection; how many it moved past.

    Args:
        connection: of an open `Catalog.transaction`.
        store_root: root of the store.
        what: the projection.
    """
    start, last = cursor(connection, what.name), head(connection)
    chunk = list(entries(connection, after=start, kinds=what.kinds, limit=what.at_once))
    what.write(connection, store_root, chunk)
    reached = chunk[-1].seq if len(chunk) == what.at_once else last
    advance(connection, what.name, reached)
    return reached - start


def lag(connection: Connection, name: str) -> int:
    """How many ledger entries a projection has not seen yet."""
    return head(connection) - cursor(connection, name)


def cursor(connection: Connection, name: str) -> int:
    """The last ledger entry that a projection has seen; 0 when it has seen none."""
    return connection.scalar(sa.select(projection.c.seq).where(projection.c.name == name)) or 0


def advance(connection: Connection, name: str, seq: int) -> None:
    """Moves a cursor forward; never back."""
    moved = connection.execute(
        projection.update()
        .where(projection.c.name == name)
        .values(seq=sa.case((projection.c.seq > seq, projection.c.seq), else_=seq))
    )
    if moved.rowcount == 0:
        connection.execute(projection.insert().values(name=name, seq=seq))
