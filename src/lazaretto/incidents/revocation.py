"""What a revocation touches: the batches that were signed since, and where their records are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.incidents.evidence import Evidence, InDataset, StillHeld, evidence_of
from lazaretto.incidents.question import opening_command
from lazaretto.ledger.source_names import source_identity
from lazaretto.lineage import ask
from lazaretto.storage import tables
from lazaretto.values import Question

if TYPE_CHECKING:
    from datetime import datetime

    from lazaretto.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class TouchedBatch:
    """A batch whose signature counts no more, or whose source is revoked.

    Attributes:
        id: of the batch.
        received_at: when it arrived, UTC.
        rows: its records.
        dataset: that it was judged for last; None: it was not judged.
        verdict: of that; None likewise.
        held: records that were held; None likewise.
        snapshot_rows: the most of its records that one version holds; None: none holds any.
        recalled: records that were taken back.
    """

    id: str
    received_at: datetime | None
    rows: int | None
    dataset: str | None
    verdict: str | None
    held: int | None
    snapshot_rows: int | None
    recalled: int


@dataclass(frozen=True, slots=True)
class Reach:
    """What a revocation touches.

    Attributes:
        question: what an incident about it asks.
        batches: oldest first.
        records: in them.
        datasets: that their records entered.
        held: open cases with records that nobody decided on.
        snapshots: versions that hold their records, as ``dataset@version``.
        models: versions that learned from them, as ``name@version``.
        unknown: model versions that nobody can say of.
        complete: whether the trace could see all.
    """

    question: Question
    batches: list[TouchedBatch]
    records: int
    datasets: list[InDataset]
    held: list[StillHeld]
    snapshots: list[str]
    models: list[str]
    unknown: list[str]
    complete: bool

    @property
    def command(self) -> str:
        """Opens the incident, for a shell."""
        return opening_command(self.question)


def reach_of_revocation(
    workspace: Workspace, source: str, key: str | None, since: datetime
) -> Reach:
    """What was received from a moment on that a key signed, or that a source delivered.

    Args:
        workspace: catalog and store.
        source: who delivered.
        key: its key; None: whatever the source delivered, signed or not.
        since: aware moment of receipt, included.

    Examples:
        >>> from datetime import UTC, datetime
        >>> reach = reach_of_revocation(workspace, "vendor", None, datetime(2020, 1, 1, tzinfo=UTC))
        >>> len(reach.batches), reach.command.split(" --since")[0]
        (2, 'lazaretto incident open --source vendor')
    """
    with workspace.catalog.read() as connection:
        source = source_identity(connection, source)
    question = Question("source", source, since, by="received")
    if key is not None:
        question = Question("key", key, since)
    trace = ask(workspace, question)
    ids = [batch.id for batch in trace.batches]
    with workspace.catalog.read() as connection:
        evidence = evidence_of(connection, ids) if ids else Evidence(0, [], [], [])
        query = sa.select(tables.batch).where(tables.batch.c.source == source)
        rows = {
            row.id: row
            for row in connection.execute(query.where(tables.batch.c.received_at >= since))
        }
    return Reach(
        question=question,
        batches=[
            TouchedBatch(
                id=batch.id,
                received_at=batch.received_at,
                rows=batch.rows,
                dataset=getattr(rows.get(batch.id), "dataset", None),
                verdict=getattr(rows.get(batch.id), "verdict", None),
                held=getattr(rows.get(batch.id), "held", None),
                snapshot_rows=batch.used_rows,
                recalled=batch.recalled_rows,
            )
            for batch in trace.batches
        ],
        records=evidence.records,
        datasets=evidence.datasets,
        held=evidence.held,
        snapshots=[snapshot.id for snapshot in trace.snapshots],
        models=trace.model_ids,
        unknown=[model.id for model in trace.unknown],
        complete=trace.complete,
    )
