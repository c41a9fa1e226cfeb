"""What a report ends with: by what ledger it was made, whether that holds, and who asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.ledger.verify import verify
from lazaretto.storage.tables import ledger

if TYPE_CHECKING:
    from lazaretto.ledger.report import CheckedCheckpoint
    from lazaretto.lineage.trace.answer import Trace
    from lazaretto.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Proof:
    """The evidence that an answer rests on.

    Attributes:
        seq: ledger entry up to which the answer looks.
        hash: of that entry, hex. It stands for all entries before it, too.
        entries: how many entries were recomputed and are in order.
        covered: how many of them are under a checkpoint that agrees.
        checkpoint: the newest checkpoint of the store that agrees; None: there is none.
        outcome: what verifying the ledger came to at that moment.
        problems: what is wrong with it, in words.
        asked_by: who asked.
    """

    seq: int
    hash: str
    entries: int
    covered: int
    checkpoint: CheckedCheckpoint | None
    outcome: str
    problems: list[str]
    asked_by: str


def prove(workspace: Workspace, trace: Trace) -> Proof:
    """Verifies the ledger that an answer was made from, and tells what the answer rests on.

    Args:
        workspace: that was asked.
        trace: the answer.

    Raises:
        SystemFaultError: catalog or store cannot be read.

    Examples:
        >>> from lazaretto.lineage import trace_source
        >>> prove(workspace, trace_source(workspace, "vendor")).outcome
        'HOLDS'
    """
    report = verify(workspace)
    with workspace.catalog.read() as connection:
        digest = connection.scalar(sa.select(ledger.c.hash).where(ledger.c.seq == trace.seq))
    holding = [checkpoint for checkpoint in report.checkpoints if checkpoint.holds]
    return Proof(
        seq=trace.seq,
        hash=digest or "",
        entries=report.entries,
        covered=report.covered,
        checkpoint=max(holding, key=lambda checkpoint: checkpoint.size, default=None),
        outcome=report.outcome.value,
        problems=[problem.what for problem in (*report.problems, *report.reports)],
        asked_by=workspace.actor.id,
    )
