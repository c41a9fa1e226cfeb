"""A source, to watch: what became of its deliveries, the evidence against it, keys and trust."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.authority.judgements import check_verdict
from lazaretto.authority.policies import counted_policies, policy_in_force
from lazaretto.drift.source import WAYS, Question, Step, last_screening, source_steps
from lazaretto.errors import PolicyError
from lazaretto.registry.references import find_reference
from lazaretto.sources.history import SourceHistory, source_history
from lazaretto.sources.refused import Refusal, refused_deliveries
from lazaretto.sources.registry import get_source
from lazaretto.stages.source_counts import SourceCounts, counts_of, seen_with
from lazaretto.storage import tables

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.engine import Connection

    from lazaretto.storage.workspace import Workspace

STEPS = 60
"""Deliveries over which share and evidence are told where nothing else is asked for."""
MOST_REFUSALS = 20


@dataclass(frozen=True, slots=True)
class HeldShare:
    """What the gate held of one delivery.

    Attributes:
        batch: its id.
        arrived: when it was received, UTC.
        dataset: that its newest judgement is for; None: it was not judged.
        verdict: of that; None likewise.
        rows: its records.
        held: records of it that were held; None likewise.
    """

    batch: str
    arrived: datetime
    dataset: str | None
    verdict: str | None
    rows: int
    held: int | None

    @property
    def share(self) -> float | None:
        """Held records, as a share of all."""
        return None if self.held is None or not self.rows else self.held / self.rows


@dataclass(frozen=True, slots=True)
class SourceDrift:
    """The evidence that a source's batches drift from a reference together.

    Attributes:
        source: its name.
        reference: ``name/version``; None: none of its batches was screened.
        batches: how many batches the evidence is of.
        evidence: what it is now: 1 at the start, and for a clean source at most 1 on average.
        alarm: from where on it is an alarm, by the policy in force for the dataset that the last
            batch was screened for; None: none is, it does not watch sources, or cannot be read.
        enforced: whether the alarm holds batches.
        steps: the newest batches, in order of arrival.
    """

    source: str
    reference: str | None
    batches: int
    evidence: float
    alarm: float | None
    enforced: bool
    steps: list[Step]


@dataclass(frozen=True, slots=True)
class SourceView:
    """A source.

    Attributes:
        history: its keys and its trust, and who changed them.
        counts: what it delivered.
        shares: what was held of its last deliveries, in order of arrival.
        drift: the evidence that they drift.
        refusals: the newest deliveries that were refused under its name.
    """

    history: SourceHistory
    counts: SourceCounts
    shares: list[HeldShare]
    drift: SourceDrift
    refusals: list[Refusal]


def show_source(
    workspace: Workspace,
    name: str,
    *,
    steps: int = STEPS,
    now: datetime | None = None,
    hidden: Collection[str] = (),
) -> SourceView:
    """One source, its last deliveries, and the evidence against it.

    Args:
        workspace: catalog and store.
        name: of the source.
        steps: tell of its last so many deliveries.
        now: aware time at which the state of its keys is told; default now.
        hidden: tell nothing that was judged for one of these datasets.

    Raises:
        NotFoundError: no such source.
        ChangedStateError: the catalog does not say what the ledger says.

    Examples:
        >>> found = show_source(workspace, "vendor")
        >>> [(share.rows, share.held) for share in found.shares]
        [(60, 0), (60, 6)]
    """
    name = get_source(workspace, name).name  # refuses what can be no name
    with workspace.catalog.read() as connection:
        history = source_history(connection, name, now or datetime.now(UTC))
        counts = counts_of(connection, [name], hidden)[name]
        shares = _shares(connection, name, steps, hidden)
        refusals = refused_deliveries(connection, source=name, limit=MOST_REFUSALS)
        drift = _drift(connection, name, None, steps, hidden)
    return SourceView(history, counts, shares, drift, refusals)


def drift_of_source(
    workspace: Workspace, name: str, reference: str | None = None, *, limit: int = STEPS
) -> SourceDrift:
    """The evidence after each of a source's last batches against one version of a reference.

    Args:
        workspace: catalog and store.
        name: of the source.
        reference: ``name`` or ``name/version``; default: that of its last screened batch.
        limit: tell of the last so many batches; the evidence counts all.

    Raises:
        NotFoundError: no such source, or no such reference.

    Examples:
        >>> found = drift_of_source(workspace, "vendor")
        >>> found.reference, found.batches == len(found.steps)
        ('reviews/1', True)
    """
    name = get_source(workspace, name).name
    known = None if reference is None else find_reference(workspace, reference)
    asked = None if known is None else (f"{known.name}/{known.version}", known.digest)
    with workspace.catalog.read() as connection:
        return _drift(connection, name, asked, limit)


def _drift(
    connection: Connection,
    name: str,
    asked: tuple[str, str] | None,
    limit: int,
    hidden: Collection[str] = (),
) -> SourceDrift:
    last = last_screening(connection, name)
    if last is None or last.policy.dataset in hidden:
        return SourceDrift(name, asked and asked[0], 0, 1.0, None, enforced=False, steps=[])
    own = (f"{last.reference}/{last.reference_version}", last.reference_digest)
    reference, digest = asked or own
    counted = counted_policies(connection, last.policy.dataset, last.policy.meaning)
    steps = source_steps(connection, Question(name, digest, counted), limit=limit)
    registered, alarm, enforced = policy_in_force(connection, last.policy.dataset), None, False
    try:
        watch = None if registered is None else registered.rules.screen.drift
    except PolicyError:  # of another version of Lazaretto: what alarms is not known
        watch = None
    if watch is not None and watch.mode != "off":
        alarm, enforced = WAYS / watch.alpha, watch.mode == "enforce"
    return SourceDrift(
        source=name,
        reference=reference,
        batches=steps[-1].batches if steps else 0,
        evidence=steps[-1].evidence if steps else 1.0,
        alarm=alarm,
        enforced=enforced,
        steps=steps,
    )


def _shares(
    connection: Connection, name: str, limit: int, hidden: Collection[str]
) -> list[HeldShare]:
    """Of the last deliveries, in order of arrival; each verdict compared with the ledger."""
    batch = tables.batch.c
    query = sa.select(tables.batch).where(batch.source == name, seen_with(hidden))
    rows = connection.execute(query.order_by(batch.seq.desc()).limit(limit)).all()
    for row in rows:
        check_verdict(connection, row.id)
    return [
        HeldShare(row.id, row.received_at, row.dataset, row.verdict, row.rows, row.held)
        for row in reversed(rows)
    ]
