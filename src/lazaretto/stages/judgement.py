"""What the gate returns: a judgement that counts, or one in shadow, which says why it does not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lazaretto.authority.policies import how_to_register, named
from lazaretto.ledger.chain import entry
from lazaretto.ledger.events import BatchScreened
from lazaretto.registry.references import read_reference
from lazaretto.values import Verdict  # noqa: TC001  pydantic reads these types at run time

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from lazaretto.authority.judgements import Judged
    from lazaretto.ledger.events import ShadowJudged
    from lazaretto.policy import Policy
    from lazaretto.values import PolicyRef


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
        decided: by which policy and reference it was decided before, in words, where they are not
            those of today. None: they are.
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
    decided: str | None = None
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


def decided_before(
    connection: Connection, judged: Judged, policy: Policy, ref: PolicyRef
) -> Judgement:
    """A judgement that stands, and by what it was made where that is not what is used today.

    Args:
        connection: to the catalog.
        judged: the judgement.
        policy: the policy that is in force today.
        ref: what it is known by.
    """
    event, changed = judged.event, []
    if event.policy.meaning != ref.meaning:
        changed.append(f"by {named(event.policy)}, and {named(ref)} is in force since")
    if event.screened is not None and policy.screen.runs:
        screened = entry(connection, event.screened).event
        today = read_reference(connection, policy.screen.reference or policy.dataset)
        if isinstance(screened, BatchScreened) and today.digest != screened.reference_digest:
            before = f"{screened.reference}/{screened.reference_version}"
            changed.append(
                f"against reference {before}, and {today.name}/{today.version} is used since"
            )
    found = judgement_of(judged)
    if not changed:
        return found
    at = entry(connection, judged.seq).at
    words = "; ".join(changed)
    again = f"`lazaretto batch rejudge {event.batch} --reason TEXT` judges it again"
    return replace(found, decided=f"on {at:%Y-%m-%d %H:%M}Z {words}; {again}")


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
