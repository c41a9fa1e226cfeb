"""Evidence that a source's batches drift together: an e-process folded over the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003  pydantic reads these types at run time
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.ledger.chain import entry
from lazaretto.ledger.events import BatchScreened
from lazaretto.stats.martingale import BatchFacts, EProcess
from lazaretto.storage import tables

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlalchemy.engine import Connection

_LARGEST = 1e300


@dataclass(frozen=True, slots=True)
class Step:
    """The evidence after one batch.

    Attributes:
        batch: its id.
        arrived: when it was received.
        seq: ledger entry of the screening that counts.
        reference: ``name/version`` that it was screened against.
        p_value: of the batch, given those before; None when its screening gave none.
        evidence: value of the e-process: 1 at the start, at most 1 on average for a clean source.
        held: records that screening held.
        rows: records that were screened.
        moved: share of its columns that had moved from the reference; None when not measured.
        facts: what `eprocess.batch_p_value` needs of it for later batches; None likewise.
    """

    batch: str
    arrived: datetime
    seq: int
    reference: str
    p_value: float | None
    evidence: float
    held: int
    rows: int
    moved: float | None
    facts: BatchFacts | None


def source_steps(
    connection: Connection,
    source: str,
    reference_digest: str,
    *,
    policies: Collection[str] | None = None,
    until: int | None = None,
    leave_out: str | None = None,
) -> tuple[list[Step], EProcess]:
    """Folds the ledger's screenings of a source against one reference, in order of arrival.

    Nothing but the ledger is asked what a screening found; the catalog only says which
    batches are this source's. Of a batch that was screened again the last screening counts,
    so that a retry is no second bet. What somebody else's policy found does not count. Batches
    screened against another version start another fold.

    Args:
        connection: of `Catalog.read` or `Catalog.transaction`.
        source: its name.
        reference_digest: of the reference that the batches were screened against.
        policies: only screenings by policies of these meanings; None: by any.
        until: only batches received before this ledger entry.
        leave_out: a batch to leave out.

    Returns:
        The evidence after each batch, and the e-process after the last.
    """
    screened = _screenings(connection, source, until)
    last = {
        batch: (arrived, seq, event)
        for batch, arrived, seq, event in screened
        if event.reference_digest == reference_digest
        and batch != leave_out
        and (policies is None or event.policy.meaning in policies)
    }
    process, steps = EProcess(), []
    for name, (arrived, seq, event) in last.items():
        if event.batch_p_value is not None:
            process = process.update(event.batch_p_value)
        drift, facts = event.drift, event.evidence
        steps.append(
            Step(
                batch=name,
                arrived=arrived,
                seq=seq,
                reference=f"{event.reference}/{event.reference_version}",
                p_value=event.batch_p_value,
                evidence=shown_evidence(process),
                held=event.held,
                rows=event.rows,
                moved=None if drift is None else drift.moved / max(1, drift.columns),
                facts=None if facts is None else BatchFacts(facts.tests, facts.small, facts.scored),
            )
        )
    return steps, process


def last_reference(connection: Connection, source: str) -> tuple[str, str] | None:
    """``name/version`` and digest of what a source's newest batch was screened against."""
    screened = list(_screenings(connection, source, None))
    if not screened:
        return None
    event = screened[-1][3]
    return f"{event.reference}/{event.reference_version}", event.reference_digest


def _screenings(
    connection: Connection, source: str, until: int | None
) -> Iterator[tuple[str, datetime, int, BatchScreened]]:
    """A source's screenings with batch, time of receipt and entry, in order of arrival."""
    batch, ledger = tables.batch, tables.ledger
    query = (
        sa.select(batch.c.id, batch.c.received_at, ledger.c.seq)
        .join(ledger, ledger.c.subject == sa.literal("batch:").concat(batch.c.id))
        .where(batch.c.source == source, ledger.c.kind == BatchScreened.kind)
        .order_by(batch.c.seq, ledger.c.seq)
    )
    if until is not None:
        query = query.where(batch.c.seq < until)
    for row in connection.execute(query).all():
        event = entry(connection, row.seq).event
        if isinstance(event, BatchScreened):
            yield row.id, row.received_at, row.seq, event


def shown_evidence(process: EProcess) -> float:
    """The value of an e-process, finite and short."""
    return float(f"{min(process.value, _LARGEST):.6g}")


SOURCE_DRIFT = "source_drift"
