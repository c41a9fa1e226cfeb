"""The inbox in figures: how many cases there are of each kind, and when a case expires."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.authority.policies import policies_in_force
from lazaretto.quarantine.cases import NOBODY
from lazaretto.quarantine.counts import UNDECIDED
from lazaretto.storage import tables

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from lazaretto.quarantine.cases import Case
    from lazaretto.storage.workspace import Workspace

_MOST_REASONS = 2_000  # cases whose reasons are counted


@dataclass(frozen=True, slots=True)
class Facets:
    """How many cases of one state there are, by what people filter them by.

    Attributes:
        cases: in all.
        datasets: by dataset.
        sources: by source.
        verdicts: by verdict.
        assignees: by who reviews them; `NOBODY` for nobody in particular.
        reasons: by signature of a reason, among the newest cases; a case counts for each of its
            reasons.
        oldest: when the one was opened that waits longest, UTC; None: there is none.
    """

    cases: int
    datasets: dict[str, int]
    sources: dict[str, int]
    verdicts: dict[str, int]
    assignees: dict[str, int]
    reasons: dict[str, int]
    oldest: datetime | None


def facets(
    workspace: Workspace, state: str | None = "OPEN", *, hidden: Collection[str] = ()
) -> Facets:
    """Counts cases, as the catalog's rows tell them: figures to filter by; they decide nothing.

    Args:
        workspace: catalog and store.
        state: only these; None for all.
        hidden: none of these datasets.

    Examples:
        >>> facets(workspace).verdicts
        {'HOLD_RECORDS': 1}
    """
    case, batch, owned = tables.case, tables.batch, tables.case_assignment
    by = (case.c.dataset, batch.c.source, case.c.verdict, owned.c.assignee)
    counts = (
        sa.select(*by, sa.func.count(), sa.func.min(case.c.opened_at))
        .join(batch, batch.c.id == case.c.batch)
        .outerjoin(owned, owned.c.case_id == case.c.id)
        .group_by(*by)
    )
    reasons = sa.select(case.c.reasons).order_by(case.c.seq.desc()).limit(_MOST_REASONS)
    if state is not None:
        counts, reasons = (query.where(case.c.state == state) for query in (counts, reasons))
    if hidden:
        seen = case.c.dataset.not_in(hidden)
        counts, reasons = counts.where(seen), reasons.where(seen)
    with workspace.catalog.read() as connection:
        rows = connection.execute(counts).all()
        signatures = Counter(name for each in connection.scalars(reasons) for name in each)
    found: tuple[Counter[str], ...] = (Counter(), Counter(), Counter(), Counter())
    for *values, count, _ in rows:
        for counter, value in zip(found, values, strict=True):
            counter[NOBODY if value is None else value] += count
    datasets, sources, verdicts, assignees = (dict(each.most_common()) for each in found)
    return Facets(
        cases=sum(row[-2] for row in rows),
        datasets=datasets,
        sources=sources,
        verdicts=verdicts,
        assignees=assignees,
        reasons=dict(signatures.most_common()),
        oldest=min((row[-1] for row in rows), default=None),
    )


def expiry(workspace: Workspace, cases: Sequence[Case]) -> Mapping[str, datetime]:
    """When `expire` will reject what nobody has decided on, by id of the case.

    Only cases are in it that are open, have records without a decision, and are of a dataset with
    a policy in force.
    """
    with workspace.catalog.read() as connection:
        days = {
            registered.event.dataset: registered.rules.review.expire_days
            for registered in policies_in_force(connection)
        }
    return {
        case.id: case.opened_at + timedelta(days=days[case.dataset])
        for case in cases
        if case.state == "OPEN" and UNDECIDED in case.actions and case.dataset in days
    }
