"""The signature of a received batch as it counts now: a key may have turned out stolen since."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import BatchReceived
from lazaretto.received import find_batch
from lazaretto.sources.recorded import read_source
from lazaretto.storage import tables
from lazaretto.values import SignatureStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.sources.source_key import SourceKey
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import Signature

_AT_ONCE = 500


def signature_now(connection: Connection, received: BatchReceived) -> Signature:
    """How a batch is signed, by what is known of the key now.

    It was checked at receipt. Where its key was revoked since, from a moment on that is not after
    the receipt, the signature is worth nothing, and its status is ``REVOKED_KEY``.

    Args:
        connection: of the catalog.
        received: what the ledger says of the receipt.

    Raises:
        ChangedStateError: the catalog's rows of the source are not what the ledger says.
    """
    signature = received.signature
    if signature.status is not SignatureStatus.VERIFIED:
        return signature
    return regraded(received, read_source(connection, received.source).keys)


def signature_of(workspace: Workspace, batch: str) -> Signature:
    """The same for a batch by its id, in a view of its own.

    Raises:
        NotFoundError: no such batch.

    Examples:
        >>> signature_of(workspace, monday).status.name
        'UNSIGNED'
    """
    with workspace.catalog.read() as connection:
        return signature_now(connection, find_batch(connection, batch).event)


def regraded(received: BatchReceived, keys: Iterable[SourceKey]) -> Signature:
    """The same, by keys that were read before."""
    signature = received.signature
    if signature.status is not SignatureStatus.VERIFIED:
        return signature
    for key in keys:
        since = key.revoked_at if key.key_id == signature.key_id else None
        if since is not None and since <= received.received_at:
            return replace(signature, status=SignatureStatus.REVOKED_KEY)
    return signature


def signed_since(connection: Connection, source: str, key_id: str, since: datetime) -> list[str]:
    """Batches of a source that a key signed and that were received from a moment on, by receipt.

    Args:
        connection: of the catalog.
        source: who delivered them.
        key_id: of the key.
        since: aware time, which counts.
    """
    batch = tables.batch.c
    query = sa.select(batch.id).where(batch.source == source, batch.received_at >= since)
    ids = list(connection.scalars(query.order_by(batch.seq)))
    signed = {
        event.batch
        for some in _chunks(ids)
        for entry in entries(connection, subjects=some, kinds=[BatchReceived.kind])
        if isinstance(event := entry.event, BatchReceived) and event.signature.key_id == key_id
    }
    return [one for one in ids if one in signed]


def _chunks(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _AT_ONCE):
        yield [f"batch:{one}" for one in ids[start : start + _AT_ONCE]]
