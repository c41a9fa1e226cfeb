"""What the review page shows: cases by page, one case, and the first records of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa

from lazaretto.quarantine.tables import batch, case, held_record

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.engine import Row

    from lazaretto.workspace import Workspace


@dataclass(frozen=True, slots=True)
class CaseView:
    """One case, as a page shows it; `reasons` and `actions` with counts, the largest first."""

    id: str
    batch: str
    dataset: str
    verdict: str
    state: str
    rows: int
    held: int
    opened_at: datetime
    notes: list[str]
    reasons: list[tuple[str, int]]
    actions: list[tuple[str | None, int]]


@dataclass(frozen=True, slots=True)
class RecordView:
    """One held record, as a page shows it; everything in it may come from an attacker."""

    record_id: str
    label: str | None
    p_value: float | None
    reason: str
    payload: str


def list_cases(
    workspace: Workspace, *, state: Literal["open", "closed", "all"], limit: int, offset: int
) -> list[CaseView]:
    """The newest cases first."""
    query = sa.select(case).order_by(case.c.opened_at.desc(), case.c.id).limit(limit).offset(offset)
    if state != "all":
        query = query.where(case.c.state == state.upper())
    with workspace.catalog.read() as connection:
        return [_view(row, []) for row in connection.execute(query)]


def find_case(workspace: Workspace, case_id: str) -> CaseView | None:
    """One case with the state of its records; None when there is no such case."""
    actions = (
        sa.select(held_record.c.action, sa.func.count().label("records"))
        .where(held_record.c.case_id == case_id)
        .group_by(held_record.c.action)
        .order_by(sa.desc("records"))
    )
    with workspace.catalog.read() as connection:
        row = connection.execute(sa.select(case).where(case.c.id == case_id)).one_or_none()
        if row is None:
            return None
        return _view(row, [(action, int(count)) for action, count in connection.execute(actions)])


def case_of_batch(workspace: Workspace, batch_id: str) -> tuple[bool, str | None]:
    """Whether the catalog has the batch, and its newest case."""
    newest = (
        sa.select(case.c.id).where(case.c.batch == batch_id).order_by(case.c.seq.desc()).limit(1)
    )
    with workspace.catalog.read() as connection:
        known = connection.scalar(sa.select(sa.exists().where(batch.c.id == batch_id)))
        return bool(known), connection.scalar(newest)


def _view(row: Row[tuple[object, ...]], actions: list[tuple[str | None, int]]) -> CaseView:
    return CaseView(
        id=row.id,
        batch=row.batch,
        dataset=row.dataset,
        verdict=row.verdict,
        state=row.state,
        rows=row.rows,
        held=row.held,
        opened_at=row.opened_at,
        notes=list(row.notes),
        reasons=sorted(row.reasons.items(), key=lambda item: -item[1]),
        actions=actions,
    )
