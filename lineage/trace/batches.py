"""Which batches are in question, and how they look in an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto import window
from lazaretto.ledger.chain import entries, entry
from lazaretto.ledger.events import BatchReceived, KeyRevoked
from lazaretto.lineage.claims.bits import Kind, version_end
from lazaretto.lineage.trace.answer import TracedBatch, TracedSource
from lazaretto.lineage.trace.describe import describe
from lazaretto.lineage.trace.holdings import BATCH
from lazaretto.storage.tables import lineage_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.lineage.trace.describe import Described
    from lazaretto.lineage.trace.world import World
    from lazaretto.values import Question

REVOKED = "REVOKED_KEY"


def in_window(
    world: World,
    source: str,
    since: datetime | None,
    until: datetime | None,
    by: str = window.EITHER,
) -> list[tuple[Described, str]]:
    """Batches of a source in a window, by what we observed or what the source says, and by which.

    Intervals are half-open. A batch without any date always counts. One that does not say when it
    was collected counts by its receipt.

    Args:
        world: the graph.
        source: who delivered.
        since: start of the window; None: from the beginning.
        until: its end; None: until now.
        by: one of `lazaretto.window.WINDOWS`.
    """
    mine = [world.vertex(r.id) for r in world.told.nodes.values() if _of(r, source)]
    version = lineage_version.c
    query = sa.select(version.id).where(
        version.source == source, version.kinds.bitwise_and(int(Kind.BATCH)) != 0
    )
    mine += [version_end(id_) for id_ in world.catalog.scalars(query)]
    found = []
    for what in describe(world, dict.fromkeys(mine)).values():
        dates = what.t_from, what.t_to, what.received_at
        matched = window.matched(*dates, since=since, until=until, by=by)
        if what.kind == BATCH and matched is not None:
            found.append((what, matched))
    return found


def signed_by(catalog: Connection, key: str) -> list[BatchReceived]:
    """What was received with the signature of a key, as the ledger tells it.

    Args:
        catalog: connection of the catalog.
        key: its whole id.
    """
    return [
        entry.event
        for entry in entries(catalog, kinds=[BatchReceived.kind], checked=True)
        if isinstance(entry.event, BatchReceived) and entry.event.signature.key_id == key
    ]


def _of(row: object, source: str) -> bool:
    return getattr(row, "kind", "") == BATCH and getattr(row, "source", "") == source


def traced_batches(
    catalog: Connection,
    question: Question,
    described: Iterable[Described],
    matched: Mapping[int, str],
    used: Mapping[int, int],
    recalled: Mapping[str, int],
) -> list[TracedBatch]:
    """Batches of an answer, oldest first.

    Args:
        catalog: connection of the catalog.
        question: what was asked.
        described: the batches.
        matched: by what they are in the window, by vertex.
        used: the most records of each that one version holds, by vertex.
        recalled: recalled records of each, by its id.
    """
    batches = list(described)
    revoked = _revoked(catalog, batches)
    usual = "member" if question.kind == "model" else "named"
    found = [
        TracedBatch(
            id=what.version,
            source=what.source or "",
            received_at=what.received_at,
            collected_from=what.t_from,
            collected_to=what.t_to,
            matched=matched.get(what.vertex, usual),
            signature=REVOKED if what.vertex in revoked else what.signature,
            digest=what.digest,
            rows=what.rows,
            used_rows=used.get(what.vertex) or None,
            recalled_rows=recalled.get(what.version, 0),
        )
        for what in batches
    ]
    return sorted(found, key=lambda b: (_stamp(b.collected_from or b.received_at), b.id))


def sources_of(batches: Sequence[TracedBatch]) -> list[TracedSource]:
    """Share of each source, the largest first."""
    counted: dict[str, list[int]] = {}
    for batch in batches:
        counted.setdefault(batch.source, []).append(batch.used_rows or 0)
    found = [TracedSource(name, len(rows), sum(rows)) for name, rows in counted.items()]
    return sorted(found, key=lambda share: (-share.used_rows, share.source))


def _revoked(connection: Connection, batches: Sequence[Described]) -> set[int]:
    """Batches whose key was revoked from a moment on that was before they arrived."""
    revoked: dict[tuple[str, str], datetime] = {}
    for found in entries(connection, kinds=[KeyRevoked.kind], checked=True):
        if isinstance(event := found.event, KeyRevoked):
            key = (event.source, event.key_id)
            revoked[key] = min(revoked.get(key, event.revoked_at), event.revoked_at)
    if not revoked:
        return set()
    mine = set()
    for what in batches:
        received = entry(connection, what.seq).event if what.ours and what.seq else None
        if isinstance(received, BatchReceived) and received.signature.key_id is not None:
            since = revoked.get((received.source, received.signature.key_id))
            if since is not None and since <= received.received_at:
                mine.add(what.vertex)
    return mine


def _stamp(moment: datetime | None) -> float:
    return moment.timestamp() if moment is not None else float("-inf")
