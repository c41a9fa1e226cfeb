"""Sources in a list: how much each delivered, what was held and refused of it, and what waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.ledger.events import DeliveryRefused
from lazaretto.sources.recorded import read_source
from lazaretto.storage import tables

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.sources.recorded import Source
    from lazaretto.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """How much a source delivered, and what waits.

    Attributes:
        deliveries: batches that were received.
        records: of them.
        judged: batches that were judged.
        judged_records: of those.
        held: records that the gate held of those.
        refused: deliveries under its name that were turned away.
        open_cases: that wait for reviewers.
        last: when the newest batch arrived, UTC; None: there is none.
    """

    deliveries: int
    records: int
    judged: int
    judged_records: int
    held: int
    refused: int
    open_cases: int
    last: datetime | None


@dataclass(frozen=True, slots=True)
class SourceOverview:
    """A source in a list.

    Attributes:
        source: with its keys.
        counts: what it delivered.
    """

    source: Source
    counts: SourceCounts


def list_overviews(
    workspace: Workspace,
    *,
    after: str | None = None,
    limit: int = 100,
    hidden: Collection[str] = (),
) -> list[SourceOverview]:
    """Sources by name, each with what it delivered.

    Args:
        workspace: catalog and store.
        after: go on behind this name.
        limit: at most so many.
        hidden: count nothing that was judged for one of these datasets.

    Raises:
        ChangedStateError: the catalog's row of one does not say what the ledger says.

    Examples:
        >>> [(one.source.name, one.counts.deliveries) for one in list_overviews(workspace)]
        [('vendor', 2)]
    """
    query = sa.select(tables.source.c.name).order_by(tables.source.c.name).limit(limit)
    if after is not None:
        query = query.where(tables.source.c.name > after)
    with workspace.catalog.read() as connection:
        names = list(connection.scalars(query))
        counts = counts_of(connection, names, hidden)
        return [SourceOverview(read_source(connection, name), counts[name]) for name in names]


def seen_with(hidden: Collection[str]) -> sa.ColumnElement[bool]:
    """The condition that a batch was not judged for one of some datasets."""
    dataset = tables.batch.c.dataset
    return sa.or_(dataset.is_(None), dataset.not_in(hidden)) if hidden else sa.true()


def counts_of(
    connection: Connection, names: Sequence[str], hidden: Collection[str] = ()
) -> dict[str, SourceCounts]:
    """Figures to look at, as the catalog's rows tell them: nothing is decided by them."""
    batch, case, ledger = tables.batch, tables.case, tables.ledger
    received = (
        sa.select(
            batch.c.source,
            sa.func.count().label("deliveries"),
            sa.func.sum(batch.c.rows).label("records"),
            sa.func.count(batch.c.verdict).label("judged"),
            sa.func.sum(sa.case((batch.c.verdict.is_not(None), batch.c.rows))).label("weighed"),
            sa.func.sum(batch.c.held).label("held"),
            sa.func.max(batch.c.received_at).label("last"),
        )
        .where(batch.c.source.in_(names), seen_with(hidden))
        .group_by(batch.c.source)
    )
    refused = (
        sa.select(ledger.c.subject, sa.func.count())
        .where(ledger.c.kind == DeliveryRefused.kind)
        .where(ledger.c.subject.in_([f"source:{name}" for name in names]))
        .group_by(ledger.c.subject)
    )
    waiting = (
        sa.select(batch.c.source, sa.func.count())
        .join(case, case.c.batch == batch.c.id)
        .where(batch.c.source.in_(names), case.c.state == "OPEN")
        .where(case.c.dataset.not_in(hidden) if hidden else sa.true())
        .group_by(batch.c.source)
    )
    rows = {row.source: row for row in connection.execute(received)}
    turned = {str(subject): int(count) for subject, count in connection.execute(refused)}
    cases = {str(name): int(count) for name, count in connection.execute(waiting)}
    found = {}
    for name in names:
        row = rows.get(name)
        found[name] = SourceCounts(
            deliveries=0 if row is None else row.deliveries,
            records=0 if row is None else int(row.records),
            judged=0 if row is None else row.judged,
            judged_records=0 if row is None else int(row.weighed or 0),
            held=0 if row is None else int(row.held or 0),
            refused=turned.get(f"source:{name}", 0),
            open_cases=cases.get(name, 0),
            last=None if row is None else row.last,
        )
    return found
