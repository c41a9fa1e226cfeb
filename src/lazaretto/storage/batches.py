"""Received batches: their catalog rows and stored copies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.batch import Batch, open_batch
from lazaretto.errors import NotFoundError
from lazaretto.storage import tables

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

    from lazaretto.policy import Policy
    from lazaretto.storage.workspace import Workspace


def batch_row(workspace: Workspace, batch: str) -> Row[Any]:
    """The catalog's row of a batch.

    Raises:
        NotFoundError: no such batch was received.
    """
    with workspace.catalog.read() as connection:
        return find_batch(connection, batch)


def find_batch(connection: Connection, batch: str) -> Row[Any]:
    """The same, inside a transaction."""
    row = connection.execute(
        sa.select(tables.batch).where(tables.batch.c.id == batch)
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"no batch {batch!r} was received: see `lazaretto batch list`")
    return row


def open_stored(row: Row[Any], policy: Policy | None = None) -> Batch:
    """Opens the immutable copy of a batch in the store."""
    return open_batch(row.stored_uri, format=row.format, limits=policy.limits if policy else None)
