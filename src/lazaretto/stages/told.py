"""What a stage's result says, in a few words and counts: for people and between tasks.

Nothing decides by it: the stages read each other's ledger entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazaretto.ledger.events import (
    BatchEmbedded,
    BatchJudged,
    BatchScreened,
    BatchValidated,
    ShadowJudged,
)

if TYPE_CHECKING:
    from lazaretto.stages.results import StageEvent, StageResult
    from lazaretto.values import Cleaned

NO_PROFILE = "no drift figures: the reference has none. Fit a new version"


def told(result: StageResult[Any]) -> dict[str, Any]:
    """A result as JSON values, by name."""
    if result.event is None:
        return {"skipped": result.skipped}
    return told_event(result.event)


def told_event(event: StageEvent) -> dict[str, Any]:
    """The same of what a stage put on record."""
    match event:
        case BatchValidated():
            words: dict[str, Any] = {
                "rows": event.rows,
                "failing": event.failing_rows,
                "broken": list(event.broken),
                "rules": [rule.words for rule in event.rules if rule.failed],
                **({"flagged": event.flagged_rows} if event.flagged_rows else {}),
                "file": event.failures.path,
            }
            return words | _cleaned(event.cleaned)
        case BatchEmbedded():
            return {
                "encoder": event.encoder,
                "encoder_digest": event.encoder_digest,
                "dimensions": event.dimensions,
                "rows": event.rows,
                "file": event.vectors.path,
            }
        case BatchScreened():
            return _screened(event)
        case BatchJudged():
            return {
                "verdict": event.verdict.value,
                "rows": event.rows,
                "held": event.held,
                "cleared": event.cleared,
                "reasons": dict(event.reasons),
                "notes": list(event.notes),
            }
        case ShadowJudged():
            return {
                "policy": event.policy.path or event.policy.meaning[:12],
                "verdict": event.verdict.value,
                "rows": event.rows,
                "would hold": event.held,
                "reasons": dict(event.reasons),
                "notes": list(event.notes),
            }


def _cleaned(cleaned: Cleaned | None) -> dict[str, Any]:
    if cleaned is None:
        return {}
    return {
        "dropped": cleaned.dropped,
        "mended": cleaned.fixed,
        "not judged": list(cleaned.notes),
        "cleaning": cleaned.findings.path,
    }


def _screened(event: BatchScreened) -> dict[str, Any]:
    words: dict[str, Any] = {
        "verdict": event.verdict.value,
        "rows": event.rows,
        "held": event.held,
        # Before what is long: a table shows the beginning.
        "triage": None if event.triage is None else event.triage.category,
        "min_detectable": event.min_detectable,
        "note": event.note,
        "fired": [f"{test.name}: {test.detail}" for test in event.tests if test.fired],
    }
    if event.triage is not None:
        words["because"] = list(event.triage.evidence)
    if event.drift is not None:
        moved = f"{event.drift.moved} of {event.drift.columns} columns moved"
        worst = [c for c in event.drift.worst[:3] if c.band != "none"]
        names = ", ".join(f"{c.column} (PSI {c.psi:.2f})" for c in worst)
        words["drift"] = f"{moved}: {names}" if event.drift.moved and names else moved
    elif event.triage is not None:
        words["drift"] = NO_PROFILE
    words["file"] = event.scores.path
    return words
