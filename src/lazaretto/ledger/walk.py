"""Walks the ledger entry by entry, computes each hash anew, and grows the Merkle tree over them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.errors import LedgerError
from lazaretto.ledger.chain import GENESIS, require_link, row_hash
from lazaretto.ledger.events import from_payload, subject_of
from lazaretto.ledger.tree import Frontier
from lazaretto.storage.tables import ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection, Row


def walk(connection: Connection, start: Frontier | None = None) -> Iterator[tuple[Frontier, str]]:
    """Recomputes the ledger's entries, in memory of a thousand of them.

    Args:
        connection: of `Catalog.read`.
        start: the tree over the entries that need not be read again; None: none.

    Yields:
        For each entry, the tree up to and with it, and the entry's hash (hex).

    Raises:
        LedgerError: the next entry was edited, dropped, inserted or reordered; says which.
    """
    tree = start or Frontier()
    prev = GENESIS
    if tree.size:
        prev = connection.scalar(sa.select(ledger.c.hash).where(ledger.c.seq == tree.size)) or ""
    query = sa.select(ledger).where(ledger.c.seq > tree.size).order_by(ledger.c.seq)
    for row in connection.execute(query.execution_options(yield_per=1000)):
        _require_sound(row, tree.size + 1, prev)
        tree, prev = tree.add(bytes.fromhex(row.hash)), row.hash
        yield tree, prev


def _require_sound(row: Row[Any], seq: int, prev: str) -> None:
    require_link(row, seq, prev)
    if row_hash(row) != row.hash:
        raise LedgerError(f"entry {seq} was edited: its hash does not match")
    try:
        subject = subject_of(from_payload(row.kind, row.payload))
    except LedgerError as error:
        raise LedgerError(f"entry {seq} cannot be read: {error}") from error
    if subject != row.subject:
        raise LedgerError(f"entry {seq} was edited: it is about {subject!r}, not {row.subject!r}")
