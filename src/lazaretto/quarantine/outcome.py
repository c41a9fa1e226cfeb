"""The outcome of a batch's review: what was decided on its held records, once none waits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.errors import NotFoundError, UsageError
from lazaretto.quarantine import tables

if TYPE_CHECKING:
    from lazaretto.workspace import Workspace


@dataclass(frozen=True, slots=True)
class ReviewOutcome:
    """What reviewers made of a batch.

    Attributes:
        batch: its id.
        cases: its cases, oldest first; none when nothing was held.
        actions: held records by the decision in force.
        seqs: ledger entries of the decisions.
    """

    batch: str
    cases: list[str] = field(default_factory=list)
    actions: dict[str, int] = field(default_factory=dict)
    seqs: list[int] = field(default_factory=list)


def review_outcome(workspace: Workspace, batch: str) -> ReviewOutcome | None:
    """The outcome, or None while a held record of the batch waits for a decision.

    Raises:
        NotFoundError: no such batch.
        UsageError: it is not judged yet.
    """
    held, case, decision = tables.held_record, tables.case, tables.decision
    with workspace.catalog.read() as connection:
        row = connection.execute(
            sa.select(tables.batch.c.verdict).where(tables.batch.c.id == batch)
        ).one_or_none()
        if row is None:
            raise NotFoundError(f"no batch {batch!r} was received: see `lazaretto batch list`")
        if row.verdict is None:
            raise UsageError(f"{batch} is not judged yet: run `gate` first")
        current = case.c.batch == batch, case.c.state != "SUPERSEDED"
        cases = list(connection.scalars(sa.select(case.c.id).where(*current).order_by(case.c.seq)))
        counts = (
            sa.select(held.c.action, sa.func.count())
            .where(held.c.case_id.in_(cases))
            .group_by(held.c.action)
        )
        actions = {action: int(count) for action, count in connection.execute(counts)}
        if None in actions:
            return None
        seqs = sa.select(decision.c.seq).where(decision.c.case_id.in_(cases))
        made = list(connection.scalars(seqs.order_by(decision.c.seq)))
    return ReviewOutcome(batch, cases, actions, made)
