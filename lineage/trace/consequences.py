"""What the ledger says about the batches of a trace: decisions, publications and recalls."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lazaretto.ledger import events
from lazaretto.ledger.chain import entries
from lazaretto.lineage.trace.answer import TracedDecision, TracedRecall, TracedRelease

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
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
