"""Evidence that a source's batches drift together: an e-process folded over the ledger."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003  pydantic reads these types at run time
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.ledger.events import BatchScreened
from lazaretto.stats.martingale import BatchFacts, EProcess
from lazaretto.storage import tables

if TYPE_CHECKING:
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
    until: int | None = None,
    leave_out: str | None = None,
) -> tuple[list[Step], EProcess]:
    """Folds the ledger's screenings of a source against one reference, in order of arrival.

    Nothing but the ledger is asked what a screening found; the catalog's stage table only says
    which entries are this source's. Of a batch that was screened again the last screening counts,
    so that a retry is no second bet. Batches screened against another version start another fold.

    Args:
        connection: of `Catalog.read` or `Catalog.transaction`.
        source: its name.
        reference_digest: of the reference that the batches were screened against.
        until: only batches received before this ledger entry.
        leave_out: a batch to leave out.

    Returns:
        The evidence after each batch, and the e-process after the last.
    """
    batch, stage, ledger = tables.batch, tables.stage, tables.ledger
    query = (
        sa.select(batch.c.id, batch.c.received_at, ledger.c.seq, ledger.c.payload)
        .join(stage, stage.c.batch == batch.c.id)
        .join(ledger, ledger.c.seq == stage.c.seq)
        .where(batch.c.source == source, ledger.c.kind == BatchScreened.kind)
        .order_by(batch.c.seq, ledger.c.seq)
    )
    if until is not None:
        query = query.where(batch.c.seq < until)
    last: dict[str, tuple[datetime, int, dict[str, Any]]] = {}
    for row in connection.execute(query):
        found = json.loads(row.payload)
        if found["reference_digest"] == reference_digest and row.id != leave_out:
            last[row.id] = (row.received_at, row.seq, found)
    process, steps = EProcess(), []
    for name, (arrived, seq, found) in last.items():
        p_value = found.get("batch_p_value")
        if p_value is not None:
            process = process.update(p_value)
        drift, facts = found.get("drift"), found.get("evidence")
        steps.append(
            Step(
                batch=name,
                arrived=arrived,
                seq=seq,
                reference=f"{found['reference']}/{found['reference_version']}",
                p_value=p_value,
                evidence=shown_evidence(process),
                held=found["held"],
                rows=found["rows"],
                moved=None if drift is None else drift["moved"] / max(1, drift["columns"]),
                facts=None if facts is None else BatchFacts(**facts),
            )
        )
    return steps, process


def last_reference(connection: Connection, source: str) -> tuple[str, str] | None:
    """``name/version`` and digest of what a source's newest batch was screened against."""
    batch, stage, ledger = tables.batch, tables.stage, tables.ledger
    query = (
        sa.select(ledger.c.payload)
        .join(stage, stage.c.seq == ledger.c.seq)
        .join(batch, batch.c.id == stage.c.batch)
        .where(batch.c.source == source, ledger.c.kind == BatchScreened.kind)
        .order_by(batch.c.seq.desc(), ledger.c.seq.desc())
        .limit(1)
    )
    payload = connection.scalar(query)
    if payload is None:
        return None
    found = json.loads(payload)
    return f"{found['reference']}/{found['reference_version']}", found["reference_digest"]


def shown_evidence(process: EProcess) -> float:
    """The value of an e-process, finite and short."""
    return float(f"{min(process.value, _LARGEST):.6g}")


SOURCE_DRIFT = "source_drift"
