"""Companions: the other small batches of a source that a small batch may be judged with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.ledger.chain import entry
from lazaretto.ledger.events import BatchScreened
from lazaretto.received import find_batch
from lazaretto.storage import tables
from lazaretto.storage.sidecars import read_table
from lazaretto.values import PoolMember, SmallBatchPool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.policy.model import SmallBatches
    from lazaretto.received import Received
    from lazaretto.screen import Companion, Pool
    from lazaretto.stages.results import Reading
    from lazaretto.storage.store import Store
    from lazaretto.values import StoredFile

LOOKED_AT = 10
"""For each batch of the pool so many deliveries are looked at, at most: a source may deliver large
batches between its small ones."""
_PAGE = 50
_COLUMNS = ["record_id", "label", "p_value", "held"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """Another small batch of the source, and what its screening found.

    Attributes:
        batch: its id.
        seq: ledger entry of its screening.
        scores: the file with one row per screened record.
    """

    batch: str
    seq: int
    scores: StoredFile


def candidates(
    connection: Connection, reading: Reading, received: Received, reference: str
) -> list[Candidate]:
    """The other small batches of a batch's source, the nearest first, as the ledger tells them.

    Those that came before it, the newest first; then those that came after it, the oldest first,
    which are there when it is judged late or again. Of each the newest screening counts that read
    the same of the policy, against the same reference, under a policy that counts (see `Reading`):
    so its p-values are those that the batch's own are compared with. Whatever became of it at the
    gate: who leaves out what was held does not see poison that is held piece by piece.

    Args:
        connection: of `Catalog.read`.
        reading: of the batch and the policy.
        received: the batch.
        reference: digest of the reference that it is screened against.

    Raises:
        ChangedStateError: the catalog's row of one does not say what the ledger says.
    """
    settings = reading.policy.screen.small_batches
    if settings.mode == "alone" or not reading.policy.screen.decides:
        return []
    found, smallest = list[Candidate](), None
    for near in _before_and_after(connection, received, settings):
        if len(found) == settings.batches:
            break
        if smallest is not None and near.rows >= smallest:
            continue
        known = _counted(connection, near.screenings, reading, reference)
        if known is None:
            continue
        seq, event = known
        smallest = event.smallest
        if smallest is None or received.rows >= smallest:
            return []
        if event.pool is not None and find_batch(connection, near.batch).source == received.source:
            found.append(Candidate(near.batch, seq, event.scores))
    return found


def read_companions(store: Store, found: list[Candidate]) -> list[Companion]:
    """What their screenings found, each file checked while it is read.

    Raises:
        ChangedFileError: one is gone, or was changed.
    """
    from lazaretto.screen import Companion

    return [Companion(one.batch, read_table(store, one.scores, columns=_COLUMNS)) for one in found]


def pool_on_record(pool: Pool | None, found: list[Candidate]) -> SmallBatchPool | None:
    """What goes on the ledger of the pool that a batch was judged by."""
    if pool is None:
        return None
    members = [PoolMember(one.batch, one.seq, one.scores.sha256) for one in found]
    return SmallBatchPool(pool.together, members)


@dataclass(frozen=True, slots=True)
class _Neighbour:
    """A batch of the source, and the ledger entries of its screenings, the newest first."""

    batch: str
    rows: int
    screenings: list[int]


def _before_and_after(
    connection: Connection, received: Received, settings: SmallBatches
) -> Iterator[_Neighbour]:
    """The source's screened batches within the window: those before one, then those after it."""
    batch, window = tables.batch, timedelta(days=settings.window_days)
    query = sa.select(batch.c.id, batch.c.rows, batch.c.received_at, batch.c.seq)
    query = query.where(batch.c.source == received.source)
    for older in (True, False):
        seq, size, left = received.seq, 2, LOOKED_AT * settings.batches  # mostly, one is enough
        while left > 0:
            page = query.where(batch.c.seq < seq) if older else query.where(batch.c.seq > seq)
            page = page.order_by(batch.c.seq.desc() if older else batch.c.seq)
            rows = connection.execute(page.limit(size)).all()
            near = [row for row in rows if abs(row.received_at - received.received_at) <= window]
            screened = screenings_of(connection, [row.id for row in near])
            for row in near:
                if row.id in screened:
                    yield _Neighbour(row.id, row.rows, screened[row.id])
            if len(rows) < size or not near:
                break
            seq, left, size = rows[-1].seq, left - size, _PAGE


def screenings_of(connection: Connection, batches: list[str]) -> dict[str, list[int]]:
    """Ledger entries of the screenings of some batches, the newest first."""
    ledger, found = tables.ledger, dict[str, list[int]]()
    about = {f"batch:{batch}": batch for batch in batches}
    query = (
        sa.select(ledger.c.subject, ledger.c.seq)
        .where(ledger.c.subject.in_(about), ledger.c.kind == BatchScreened.kind)
        .order_by(ledger.c.seq.desc())
    )
    for subject, seq in connection.execute(query):
        found.setdefault(about[subject], []).append(seq)
    return found


def _counted(
    connection: Connection, screenings: list[int], reading: Reading, reference: str
) -> tuple[int, BatchScreened] | None:
    """The newest of a batch's screenings that counts, with its entry."""
    reads, counted = reading.reads("screen"), reading.counted | {reading.ref.meaning}
    for seq in screenings:
        event = entry(connection, seq).event
        if (
            isinstance(event, BatchScreened)
            and event.reads == reads
            and event.policy.meaning in counted
            and event.reference_digest == reference
        ):
            return seq, event
    return None
