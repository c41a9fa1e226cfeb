"""Deliveries that were refused: they became no batch, and are on the ledger alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import DeliveryRefused
from lazaretto.ledger.source_names import source_identity

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.values import SignatureStatus


@dataclass(frozen=True, slots=True)
class Refusal:
    """A delivery that was turned away; its address and its source's name are as they were given.

    Attributes:
        seq: ledger entry.
        at: when, UTC.
        source: name that it was delivered under; there may be no such source.
        uri: where it was delivered, without credentials.
        code: stable reason, such as ``unknown_key`` or ``replay``.
        reason: why, in words.
        signature: what became of the check of its manifest.
        file_digest: sha256 (hex) of the delivered bytes; None where they were not read.
    """

    seq: int
    at: datetime
    source: str
    uri: str
    code: str
    reason: str
    signature: SignatureStatus
    file_digest: str | None


def refused_deliveries(
    connection: Connection,
    *,
    source: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: int | None = None,
    limit: int | None = None,
) -> list[Refusal]:
    """Refused deliveries, newest first.

    Args:
        connection: of the catalog.
        source: only under this name.
        since: aware time of the first refusal.
        until: aware time before which they were refused.
        before: page on: `Refusal.seq` of the last one seen.
        limit: at most so many.

    Raises:
        LedgerError: an entry was edited.
    """
    if source is not None:
        source = source_identity(connection, source)
    found = entries(
        connection,
        until=None if before is None else before - 1,
        kinds=[DeliveryRefused.kind],
        subject=None if source is None else f"source:{source}",
        since=since,
        before=until,
        limit=limit,
        newest_first=True,
    )
    return [
        Refusal(
            seq=entry.seq,
            at=entry.at,
            source=event.source,
            uri=event.uri,
            code=event.code,
            reason=event.reason,
            signature=event.signature.status,
            file_digest=event.file_digest,
        )
        for entry in found
        if isinstance(event := entry.event, DeliveryRefused)
    ]
