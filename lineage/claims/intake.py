"""Takes OpenLineage events of other tools: each is kept, then folded into the graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lazaretto.lineage.claims import rows
from lazaretto.lineage.claims.derive import derive
from lazaretto.lineage.claims.event import Unusable, read_event
from lazaretto.lineage.claims.fold import fold
from lazaretto.lineage.claims.kept import digest_of, reduced
from lazaretto.lineage.claims.names import Names
from lazaretto.lineage.claims.told import take_ledger
from lazaretto.lineage.graph.index import catch_up
from lazaretto.lineage.openlineage.lines import read_lines

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sqlalchemy.engine import Connection

    from lazaretto.lineage.claims.claim import Claim
    from lazaretto.storage.workspace import Workspace

MOST_PER_TRANSACTION = 20_000
"""Versions of datasets that are written before others may write."""
MOST_TOLD = 1_000
_CLAIMS = rows.Merge(
    "lineage_claim",
    ("digest", "run", "taken_at", "taken_from", "body"),
    ("digest",),
    returning=("digest",),
)


@dataclass(frozen=True, slots=True)
class Ingested:
    """What an ingestion did.

    Attributes:
        events: events that were read.
        new: those that were not known before.
        runs: runs that the new ones are of.
        edges: inputs and outputs that the new ones name.
        ours: outputs that only the ledger tells of; what was claimed of them is not believed.
        skipped: what could not be used, as ``line N: why``; at most 1000 are told.
    """

    events: int
    new: int
    runs: int
    edges: int
    ours: int
    skipped: list[str]


@dataclass(slots=True)
class _Progress:
    events: int = 0
    new: int = 0
    edges: int = 0
    ours: int = 0
    runs: set[str] = field(default_factory=set)
    skipped: list[str] = field(default_factory=list)

    def skip(self, number: int, why: str) -> None:
        if len(self.skipped) < MOST_TOLD:
            self.skipped.append(f"line {number}: {why}")

    def done(self) -> Ingested:
        return Ingested(self.events, self.new, len(self.runs), self.edges, self.ours, self.skipped)


def ingest(workspace: Workspace, file: str | Path) -> Ingested:
    """Takes OpenLineage events, one per line. The same file twice changes nothing.

    Order does not matter, nor how events are split over files: the graph follows from the set of
    all events that were ever taken.

    Args:
        workspace: whose graph.
        file: JSON Lines; a broken line is skipped and told, the others count.

    Raises:
        NotFoundError: there is no such file.

    Examples:
        >>> from pathlib import Path
        >>> _ = Path("events.jsonl").write_text("")
        >>> ingest(workspace, "events.jsonl").new
        0
    """
    progress = _Progress()
    taken: list[tuple[Claim, str]] = []
    size = 0
    for line in read_lines(file):
        if line.event is None:
            progress.skip(line.number, line.problem or "unreadable")
            continue
        progress.events += 1
        try:
            claim = read_event(line.event)
        except Unusable as error:
            progress.skip(line.number, str(error))
            continue
        taken.append((claim, reduced(line.event)))
        size += claim.size
        if size > MOST_PER_TRANSACTION:
            _keep(workspace, taken, None, progress)
            taken, size = [], 0
    _keep(workspace, taken, None, progress)
    bring_up(workspace)
    return progress.done()


def take(
    workspace: Workspace, events: Iterable[dict[str, Any]], *, taken_from: str | None
) -> Ingested:
    """Takes some events that were sent here; what follows from them is computed when asked for.

    Args:
        workspace: whose graph.
        events: OpenLineage events.
        taken_from: who sent them, as they were authenticated.

    Examples:
        >>> take(workspace, [{"eventType": "START"}], taken_from="user:ann").skipped
        ['line 1: runId is not a text of 1 to 64 characters']
    """
    progress = _Progress()
    taken = []
    for number, event in enumerate(events, start=1):
        progress.events += 1
        try:
            taken.append((read_event(event), reduced(event)))
        except Unusable as error:
            progress.skip(number, str(error))
    _keep(workspace, taken, taken_from, progress)
    return progress.done()


def bring_up(workspace: Workspace) -> None:
    """Brings index and graph up to the ledger and to all claims; safe to repeat."""
    catch_up(workspace)
    take_ledger(workspace)
    derive(workspace)


def _keep(
    workspace: Workspace,
    taken: list[tuple[Claim, str]],
    taken_from: str | None,
    progress: _Progress,
) -> None:
    if not taken:
        return
    with workspace.catalog.transaction() as connection:
        by_digest = {digest_of(body): (claim, body) for claim, body in taken}
        new = _store(connection, by_digest, taken_from)
        folded = fold(Names(workspace.store.root), [by_digest[digest][0] for digest in new])
        folded.write(connection)
    progress.new += len(new)
    progress.runs.update(by_digest[digest][0].run for digest in new)
    progress.edges += folded.edges
    progress.ours += folded.ours


def _store(
    connection: Connection, claims: dict[str, tuple[Claim, str]], taken_from: str | None
) -> list[str]:
    """Keeps the claims that are not kept yet; their digests."""
    now = datetime.now(UTC)
    at = now.replace(tzinfo=None).isoformat(" ") if connection.dialect.name == "sqlite" else now
    values = [(digest, claim.run, at, taken_from, body) for digest, (claim, body) in claims.items()]
    return [row[0] for row in rows.merge(connection, _CLAIMS, values)]
