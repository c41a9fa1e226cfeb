"""Replay: whether a delivery is a batch that was received before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.errors import DeliveryError
from lazaretto.ledger.deletions import delivery_deleted
from lazaretto.received import find_batch
from lazaretto.storage import tables

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from lazaretto.received import Received


def received_before(
    connection: Connection,
    source: str,
    uri: str,
    *,
    digest: str,
    file_digest: str | None,
    dataset: str | None,
) -> Received | None:
    """The batch that a delivery is already, by its records or by its bytes.

    Args:
        connection: to the catalog.
        source: name of who delivers.
        uri: where it was delivered.
        digest: sha256 (hex) of its records, as they were read now.
        file_digest: sha256 (hex) of its bytes.
        dataset: where its records may be already.

    Raises:
        DeliveryError: ``replay``: the same was delivered elsewhere before.
    """
    table = tables.batch
    ours = sa.select(table.c.id, table.c.digest, table.c.seq).where(table.c.source == source)
    # Each half by its index, and sorted here: asked with "or", or in the order of `seq`, SQLite
    # reads all batches of the source.
    either = sa.union(
        ours.where(table.c.digest == digest), ours.where(table.c.file_digest == file_digest)
    )
    rows = sorted(connection.execute(either), key=lambda row: row.seq)
    for row in rows:
        batch = find_batch(connection, row.id)
        if batch.event.uri != uri:
            raise DeliveryError(
                f"{uri} was already received: it has the same records as batch {batch.id}, "
                f"which {source} delivered on {batch.received_at:%Y-%m-%d} as "
                f"{batch.event.uri}. A replay is "
                "not taken; deliver new records",
                code="replay",
            )
    # The same bytes may have been read with other types, before dataset or contract had theirs.
    known = [row.id for row in rows if _is_settled(connection, row.id, dataset)]
    known += [row.id for row in rows if row.digest == digest]
    return find_batch(connection, known[0]) if known else None


def _is_settled(connection: Connection, batch: str, dataset: str | None) -> bool:
    """Whether records of a batch entered a dataset, or retention deleted them: they stay there."""
    if delivery_deleted(connection, batch) is not None:
        return True
    table = tables.admission
    query = sa.select(table.c.batch).where(table.c.batch == batch, table.c.dataset == dataset)
    return connection.execute(query.limit(1)).first() is not None
