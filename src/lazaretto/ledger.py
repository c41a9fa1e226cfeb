"""The ledger: an append-only log of every event, each entry chained by hash to the one before."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import rfc8785
import sqlalchemy as sa

from lazaretto.errors import LedgerError, UsageError
from lazaretto.events import Event, from_payload, to_payload
from lazaretto.quarantine.tables import ledger, ledger_head

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlalchemy.engine import Connection, Row

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry.

    Attributes:
        seq: position, from 1, without gaps.
        at: UTC time of writing.
        kind: the event's kind.
        event: what happened.
        prev: hash (hex) of the entry before; 64 zeros for the first.
        hash: ``sha256(0x00 || JCS({seq, at, kind, payload, prev}))`` in hex, JCS as in RFC 8785.
    """

    seq: int
    at: datetime
    kind: str
    event: Event
    prev: str
    hash: str


def append(connection: Connection, event: Event, *, at: datetime | None = None) -> int:
    """Adds an entry inside the caller's `Catalog.transaction`, which serialises writers.

    Args:
        connection: of an open `Catalog.transaction`.
        event: what happened.
        at: aware time of the entry; now by default.

    Returns:
        The entry's sequence number.

    Raises:
        UsageError: a value of the event has no canonical JSON form (NaN, an integer beyond 2**53).
    """
    head = connection.execute(sa.select(ledger_head.c.seq, ledger_head.c.hash)).one_or_none()
    last, prev = head if head is not None else (0, GENESIS)
    seq = int(last) + 1
    moment = (at or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="microseconds")
    payload = to_payload(event)
    try:
        text = rfc8785.dumps(payload).decode()  # type: ignore[arg-type]
    except rfc8785.CanonicalizationError as error:
        raise UsageError(f"{event.kind} cannot be put on record: {error}") from error
    digest = entry_hash(seq, moment, event.kind, payload, prev)
    connection.execute(
        ledger.insert().values(
            seq=seq, at=moment, kind=event.kind, payload=text, prev=prev, hash=digest
        )
    )
    if head is None:
        connection.execute(ledger_head.insert().values(id=1, seq=seq, hash=digest))
    else:
        connection.execute(ledger_head.update().values(seq=seq, hash=digest))
    return seq


def entries(
    connection: Connection,
    *,
    after: int = 0,
    kinds: Collection[str] | None = None,
    limit: int | None = None,
) -> Iterator[Entry]:
    """Reads entries in order.

    Args:
        connection: of `Catalog.read` or `Catalog.transaction`.
        after: sequence number to start behind.
        kinds: only these kinds of event.
        limit: at most so many.

    Raises:
        LedgerError: an entry's kind is unknown to this version, or its payload does not fit it.
    """
    query = sa.select(ledger).where(ledger.c.seq > after).order_by(ledger.c.seq).limit(limit)
    if kinds is not None:
        query = query.where(ledger.c.kind.in_(sorted(kinds)))
    for row in connection.execute(query.execution_options(yield_per=1000)):
        yield _entry(row)


def entry(connection: Connection, seq: int) -> Entry:
    """Reads one entry.

    Raises:
        LedgerError: there is none with this number.
    """
    row = connection.execute(sa.select(ledger).where(ledger.c.seq == seq)).one_or_none()
    if row is None:
        raise LedgerError(f"the ledger has no entry {seq}")
    return _entry(row)


def entry_hash(seq: int, at: str, kind: str, payload: dict[str, object], prev: str) -> str:
    """Hash of an entry, in hex; ``0x00`` sets it apart from whatever else is ever hashed."""
    body = {"seq": seq, "at": at, "kind": kind, "payload": payload, "prev": prev}
    return hashlib.sha256(b"\x00" + rfc8785.dumps(body)).hexdigest()  # type: ignore[arg-type]


def _entry(row: Row[tuple[int, str, str, str, str, str]]) -> Entry:
    return Entry(
        seq=row.seq,
        at=datetime.fromisoformat(row.at),
        kind=row.kind,
        event=from_payload(row.kind, json.loads(row.payload)),
        prev=row.prev,
        hash=row.hash,
    )
