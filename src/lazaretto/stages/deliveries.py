"""All deliveries as one list: those that became batches, and those that were refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.errors import NotFoundError, UsageError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import DeliveryRefused
from lazaretto.ledger.source_names import source_identity
from lazaretto.received import find_batch
from lazaretto.sources.refused import refused_deliveries
from lazaretto.stages.listing import LISTED, Page, listed
from lazaretto.stages.source_counts import seen_with
from lazaretto.storage import tables
from lazaretto.values import Verdict

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.engine import Connection, Row

    from lazaretto.sources.refused import Refusal
    from lazaretto.storage.workspace import Workspace

REFUSED, UNJUDGED = "REFUSED", "UNJUDGED"
VERDICTS = (*(verdict.value for verdict in Verdict), REFUSED, UNJUDGED)
"""What may have become of a delivery."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which deliveries; what is given must all fit.

    Attributes:
        source: name that they were delivered under.
        verdict: what became of them, one of `VERDICTS`.
        dataset: that they were judged for; refused deliveries were judged for none.
        since: aware time of the first arrival.
        until: aware time before which they arrived.
        hidden: none that was judged for one of these datasets.
    """

    source: str | None = None
    verdict: str | None = None
    dataset: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    hidden: tuple[str, ...] = ()


def list_deliveries(
    workspace: Workspace, wanted: Wanted, *, limit: int = 100, after: str | None = None
) -> Page:
    """Deliveries, newest first: identity, newest verdict, counts, and why one was refused.

    A refused delivery has no id; its ``verdict`` is ``REFUSED``, ``refused`` says why, and ``seq``
    is the ledger entry that has all of it. The verdict of a batch is None until it is judged.

    Args:
        workspace: catalog and store.
        wanted: which.
        limit: at most so many.
        after: go on behind this batch, or behind the refusal with this number on the ledger.

    Raises:
        NotFoundError: there is no batch, or no refusal, that `after` names.
        UsageError: no such verdict.
    """
    if wanted.verdict is not None and wanted.verdict not in VERDICTS:
        raise UsageError(f"no verdict {wanted.verdict!r}: {', '.join(VERDICTS)}")
    with workspace.catalog.read() as connection:
        if wanted.source is not None:
            wanted = replace(wanted, source=source_identity(connection, wanted.source))
        before = None if after is None else _seq_of(connection, after)
        found: list[tuple[int, dict[str, Any]]] = []
        if wanted.verdict != REFUSED:
            rows = connection.execute(_batches(wanted, before).limit(limit + 1))
            found += [(row.seq, _batch(row)) for row in rows]
        if wanted.verdict in (None, REFUSED) and wanted.dataset is None:
            refusals = refused_deliveries(
                connection,
                source=wanted.source,
                since=wanted.since,
                until=wanted.until,
                before=before,
                limit=limit + 1,
            )
            found += [(refusal.seq, _refusal(refusal)) for refusal in refusals]
    found.sort(key=lambda one: one[0], reverse=True)
    return Page([row for _, row in found[:limit]], len(found) > limit)


def _seq_of(connection: Connection, after: str) -> int:
    """Ledger entry at which a page ended."""
    if not after.isdecimal() or len(after) > 18:  # a batch's id has a slash
        return find_batch(connection, after).seq
    seq = int(after)
    kinds = [DeliveryRefused.kind]
    if not any(True for _ in entries(connection, after=seq - 1, until=seq, kinds=kinds)):
        raise NotFoundError(f"entry {seq} of the ledger refuses no delivery")
    return seq


def _batches(wanted: Wanted, before: int | None) -> sa.Select[Any]:
    batch = tables.batch.c
    query = sa.select(tables.batch).where(seen_with(wanted.hidden)).order_by(batch.seq.desc())
    if before is not None:
        query = query.where(batch.seq < before)
    if wanted.source is not None:
        query = query.where(batch.source == wanted.source)
    if wanted.dataset is not None:
        query = query.where(batch.dataset == wanted.dataset)
    if wanted.verdict is not None:
        judged = None if wanted.verdict == UNJUDGED else wanted.verdict
        query = query.where(batch.verdict.is_not_distinct_from(judged))
    if wanted.since is not None:
        query = query.where(batch.received_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(batch.received_at < wanted.until)
    return query


def _batch(row: Row[Any]) -> dict[str, Any]:
    return listed(row) | {"refused": None, "seq": row.seq}


def _refusal(refusal: Refusal) -> dict[str, Any]:
    nothing = dict.fromkeys((*LISTED, "case"))
    return nothing | {
        "source": refusal.source,
        "received_at": refusal.at,
        "verdict": REFUSED,
        "refused": {"code": refusal.code, "reason": refusal.reason, "uri": refusal.uri},
        "seq": refusal.seq,
    }
