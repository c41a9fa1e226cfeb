"""Cursors: how far each projection of the ledger has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.ledger.chain import head
from lazaretto.storage.tables import projection

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection


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
