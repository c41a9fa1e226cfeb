"""What the ledger says about the batches of a trace: decisions, recalls, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from lazaretto.ledger import events
from lazaretto.ledger.chain import entries
from lazaretto.lineage.trace.answer import (
    RetrainStep,
    TracedDecision,
    TracedRecall,
    TracedRelease,
)
from lazaretto.lineage.trace.walk import downstream
from lazaretto.storage.tables import lineage_edge, lineage_node

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sqlalchemy.engine import Connection, Row

    from lazaretto.ledger.chain import Entry
    from lazaretto.lineage.trace.answer import TracedModel
    from lazaretto.values import PolicyRef

_TOLD = (
    events.BatchJudged.kind,
    events.RecordsDecided.kind,
    events.PublicationApproved.kind,
    events.BatchAdmitted.kind,
    events.RecordsRecalled.kind,
)


class Consequences(NamedTuple):
    """What the ledger says about some batches, in order."""

    decisions: list[TracedDecision]
    releases: list[TracedRelease]
    recalls: list[TracedRecall]


def decided(connection: Connection, batches: Collection[str], *, after: int) -> Consequences:
    """Decisions on batches and recalls of their records, from the ledger behind entry `after`.

    The ledger was read as a whole, and checked, when the index was held against it.
    """
    decisions: list[TracedDecision] = []
    releases: list[TracedRelease] = []
    recalls: list[TracedRecall] = []
    if batches:
        for entry in entries(connection, after=after, kinds=_TOLD, checked=True):
            match entry.event:
                case events.RecordsRecalled() as event:
                    recalls += _recall(event, entry, batches)
                case event:
                    decisions += _decision(event, entry, batches)
                    releases += _release(event, entry, batches)
    return Consequences(decisions, releases, recalls)


def recalled_rows(recalls: Sequence[TracedRecall]) -> dict[str, int]:
    """Recalled records per batch, over all recalls."""
    counted: dict[str, int] = {}
    for recall in recalls:
        for batch, rows in recall.batches.items():
            counted[batch] = counted.get(batch, 0) + rows
    return counted


def unknown_snapshots() -> sa.Select[tuple[int]]:
    """Selects dataset versions that something was made from, but whose batches nobody told."""
    node, edge = lineage_node.c, lineage_edge.c
    told = sa.select(edge.src).where(edge.dst == node.id, edge.role != "ADMITTED").exists()
    used = sa.select(edge.dst).where(edge.src == node.id).exists()
    return sa.select(node.id).where(node.kind == "SNAPSHOT", node.digest.is_(None), used, ~told)


def unknown_models(connection: Connection) -> dict[int, Row[Any]]:
    """Models that learned, directly or not, from data whose batches are not known, by node id."""
    reached = downstream(connection, unknown_snapshots())
    return {key: row for key, row in reached.nodes.items() if row.kind == "MODEL"}


def retrain_plan(
    connection: Connection, models: Sequence[TracedModel], exclude: Sequence[str]
) -> list[RetrainStep]:
    """What to do about each affected model, those first that others may have learned from.

    A version whose data is not known is never called clean.
    """
    by_name: dict[tuple[str, str], list[str]] = {}
    for model in models:
        by_name.setdefault((model.registry, model.name), []).append(model.version)
    doubtful = unknown_models(connection) if by_name else {}
    steps: list[RetrainStep] = []
    for order, ((registry, name), affected) in enumerate(by_name.items(), start=1):
        versions = _versions(connection, registry, name)
        clean = [v.version for v in versions if v.version not in affected and v.id not in doubtful]
        newest = versions[-1].version
        steps.append(
            RetrainStep(
                order=order,
                model=name,
                registry=registry,
                affected=affected,
                newest=newest,
                retrain=newest in affected,
                exclude=list(exclude),
                last_clean=clean[-1] if clean else None,
            )
        )
    return steps


def _versions(connection: Connection, registry: str, name: str) -> Sequence[Row[Any]]:
    return connection.execute(
        sa.select(lineage_node)
        .where(
            lineage_node.c.kind == "MODEL",
            lineage_node.c.namespace == registry,
            lineage_node.c.name == name,
        )
        .order_by(lineage_node.c.received_at, lineage_node.c.id)
    ).all()


def _decision(
    event: events.Event, entry: Entry, batches: Collection[str]
) -> Iterator[TracedDecision]:
    match event:
        case events.BatchJudged() if event.batch in batches:
            reasons = ", ".join(f"{key}: {count}" for key, count in sorted(event.reasons.items()))
            what, records = event.verdict.value, event.held
            yield _told(event, entry, what, records, reasons, policy=event.policy, case=event.case)
        case events.BatchAdmitted() if event.batch in batches:
            what, actor = ("ADMIT", None) if event.case is None else ("PUBLISH", entry.actor.id)
            what_of = event.part if event.case else f"{event.part} records"
            reason = f"{what_of} into {event.dataset}@{event.version}"
            policy, case = event.policy, event.case
            yield _told(
                event, entry, what, event.rows, reason, policy=policy, actor=actor, case=case
            )
        case events.PublicationApproved() if event.batch in batches:
            actor, case = entry.actor.id, event.case
            reason = event.publication
            yield _told(event, entry, "APPROVE", event.records, reason, actor=actor, case=case)
        case events.RecordsDecided() if event.batch in batches:
            what = f"UNDO {event.action.value}" if event.undoes else event.action.value
            actor, case = entry.actor.id, event.case
            yield _told(event, entry, what, event.records, event.reason, actor=actor, case=case)


def _told(
    event: events.BatchJudged
    | events.BatchAdmitted
    | events.RecordsDecided
    | events.PublicationApproved,
    entry: Entry,
    what: str,
    records: int,
    reason: str,
    *,
    policy: PolicyRef | None = None,
    actor: str | None = None,
    case: str | None = None,
) -> TracedDecision:
    return TracedDecision(
        seq=entry.seq,
        at=entry.at,
        batch=event.batch,
        what=what,
        records=records,
        actor=actor or f"policy:{policy.dataset if policy else 'default'}",
        policy=None if policy is None else policy.dataset,
        policy_sha256=None if policy is None else policy.sha256,
        reason=reason,
        case=case,
    )


def _release(
    event: events.Event, entry: Entry, batches: Collection[str]
) -> Iterator[TracedRelease]:
    match event:
        case events.BatchAdmitted(case=str() as case) if event.batch in batches:
            yield TracedRelease(
                seq=entry.seq,
                at=entry.at,
                batch=event.batch,
                case=case,
                publication=event.part,
                dataset=event.dataset,
                version=event.version,
                records=event.rows,
                decisions=[release.decision for release in event.releases],
                decided_by=sorted({release.by for release in event.releases}),
                approved_by=list(event.approved_by),
                published_by=entry.actor.id,
            )


def _recall(
    event: events.RecordsRecalled, entry: Entry, batches: Collection[str]
) -> Iterator[TracedRecall]:
    lost = {member.batch: member.rows for member in event.members if member.batch in batches}
    if lost:
        yield TracedRecall(
            id=event.recall,
            seq=entry.seq,
            at=entry.at,
            dataset=event.dataset,
            version=event.version,
            batches=lost,
            models=list(event.models),
            actor=entry.actor.id,
            reason=event.reason,
        )
