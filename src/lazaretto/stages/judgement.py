"""What the gate returns: a judgement that counts, or one in shadow, which says why it does not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lazaretto.authority.policies import how_to_register
from lazaretto.values import Verdict  # noqa: TC001  pydantic reads these types at run time

if TYPE_CHECKING:
    from lazaretto.authority.judgements import Judged
    from lazaretto.ledger.events import ShadowJudged


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the gate decided.

    Attributes:
        batch: id of the batch.
        dataset: that it was judged for.
        verdict: see `Verdict`.
        rows: records of the batch.
        held: records in quarantine.
        cleared: records that may be admitted; 0 when the batch is held.
        case: id of the review case; None when nothing is held.
        reasons: held records by the signature of their first reason.
        notes: in words: what is wrong with the batch as a whole, which rules its records broke, and
            what screening found in them.
        seq: ledger entry.
        shadow: why nothing is held or admitted by it, in words: the policy is not in force. None:
            it is.
    """

    batch: str
    dataset: str
    verdict: Verdict
    rows: int
    held: int
    cleared: int
    case: str | None
    reasons: dict[str, int]
    notes: list[str] = field(default_factory=list)
    seq: int = 0
    shadow: str | None = None


def judgement_of(judged: Judged) -> Judgement:
    """A judgement as its ledger entry tells it."""
    event = judged.event
    return Judgement(
        batch=event.batch,
        dataset=event.policy.dataset,
        verdict=event.verdict,
        rows=event.rows,
        held=event.held,
        cleared=event.cleared,
        case=event.case,
        reasons=dict(event.reasons),
        notes=list(event.notes),
        seq=judged.seq,
    )


def shadow_of(event: ShadowJudged, seq: int) -> Judgement:
    """What a policy that is not in force said."""
    dataset = event.policy.dataset
    return Judgement(
        batch=event.batch,
        dataset=dataset,
        verdict=event.verdict,
        rows=event.rows,
        held=event.held,
        cleared=0,
        case=None,
        reasons=dict(event.reasons),
        notes=list(event.notes),
        seq=seq,
        shadow=f"this policy is not in force for dataset {dataset!r}, so nothing is held or "
        f"admitted by it: {how_to_register(event.policy)}",
    )
