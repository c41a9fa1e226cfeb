"""Whether reviewers have decided on everything that is held of a batch, and what they decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.errors import NotFoundError
from lazaretto.quarantine.tables import batch, case, decision, held_record

if TYPE_CHECKING:
    from lazaretto.workspace import Workspace


@dataclass(frozen=True, slots=True)
class ReviewOutcome:
    """A finished review.

    Attributes:
        batch: id of the batch.
        cases: its cases; none when nothing was held.
        actions: how many held records each `lazaretto.values.Action` applies to.
        seqs: ledger entries of the decisions.
    """

    batch: str
    cases: list[str]
    actions: dict[str, int]
    seqs: list[int]


def review_outcome(workspace: Workspace, batch_id: str) -> ReviewOutcome | None:
    """What was decided on a batch's held records.

    Returns:
        None while the batch is not judged yet, or while a held record waits for a decision.

    Raises:
        NotFoundError: the catalog has no such batch.
    """
    with workspace.catalog.read() as connection:
        judged = connection.execute(
            sa.select(batch.c.verdict).where(batch.c.id == batch_id)
        ).one_or_none()
        if judged is None:
            raise NotFoundError(f"the catalog has no batch {batch_id!r}")
        if judged.verdict is None:
            return None
        cases = connection.scalars(
            sa.select(case.c.id).where(case.c.batch == batch_id).order_by(case.c.seq)
        ).all()
        counts = connection.execute(
            sa.select(held_record.c.action, sa.func.count())
            .where(held_record.c.case_id.in_(cases))
            .group_by(held_record.c.action)
        ).all()
        actions = {action: int(count) for action, count in counts}
        if None in actions:
            return None
        seqs = connection.scalars(
            sa.select(decision.c.seq).where(decision.c.case_id.in_(cases)).order_by(decision.c.seq)
        ).all()
    return ReviewOutcome(
        batch=batch_id, cases=list(cases), actions=actions, seqs=[int(seq) for seq in seqs]
    )
