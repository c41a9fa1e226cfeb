"""The conclusion of a case: what a reviewer should know first, in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.quarantine.triage import as_shown
from lazaretto.values import SignatureStatus

if TYPE_CHECKING:
    from lazaretto.ledger.events import BatchScreened
    from lazaretto.quarantine.cases import Case

_MOST_REASONS = 3
_SAID = "records are held"  # evidence that the sentence begins with anyway
_OTHER_LABEL = "have a label that does not fit what they look like"
_TOGETHER = "lie together where trusted records do not"
_SCREENED = {
    "knn_label": _OTHER_LABEL,
    "self_confidence": _OTHER_LABEL,
    "class_spread": _OTHER_LABEL,
    "class_excess": "are the oddest of a label that has too many odd ones",
    "copies_elsewhere": "have copies in other batches",
    "near_duplicates": _TOGETHER,
    "neighbourhood": _TOGETHER,
    "source_neighbourhood": "lie together with odd records of earlier batches of the source",
}
_SIGNED = {
    SignatureStatus.VERIFIED: "the delivery is signed and the signature is valid",
    SignatureStatus.UNSIGNED: "the delivery is not signed",
    SignatureStatus.INVALID: "the signature of the delivery is invalid",
    SignatureStatus.UNKNOWN_KEY: "the delivery is signed with an unknown key",
    SignatureStatus.EXPIRED_KEY: "the delivery is signed with an expired key",
    SignatureStatus.REVOKED_KEY: "the delivery is signed with a revoked key",
}
_LOOKS_LIKE = {
    "NONE": "nothing in particular stands out in the batch",
    "ENVIRONMENT": "it looks as if the world had changed",
    "POISONING": "it looks like poisoning",
    "PIPELINE": "it looks like a fault in the pipeline",
}


def conclude(case: Case, signature: SignatureStatus, screened: BatchScreened | None) -> str:
    """What is held, why, whether the source is who it says, and what it looks like.

    Args:
        case: the case.
        signature: of its batch, as `lazaretto.sources.standing.signature_now` has it.
        screened: the screening that it was opened on; None where there was none.

    Returns:
        One sentence. Names and labels in it come from deliveries: escape and cut it.

    Examples:
        >>> from lazaretto.quarantine.review import show_case
        >>> from lazaretto.quarantine.triage import screening_of_case
        >>> from lazaretto.values import SignatureStatus
        >>> found = show_case(workspace, case)
        >>> text = conclude(
        ...     found, SignatureStatus.UNSIGNED, screening_of_case(workspace, case)
        ... )
        >>> text.split(":")[0]
        '6 of 60 records are held'
    """
    whole = case.verdict != "HOLD_RECORDS"
    held = "all of them as one batch" if whole and case.held == case.rows else ""
    ranked = sorted(case.reasons.items(), key=lambda item: (-item[1], item[0]))
    why = [f"{count:,} {_in_words(name)}" for name, count in ranked[:_MOST_REASONS]]
    if len(ranked) > _MOST_REASONS:
        why.append(f"{len(ranked) - _MOST_REASONS} more reasons")
    parts = [", ".join(part for part in (held, *why) if part)]
    triage = None if screened is None else as_shown(screened)
    told = [] if triage is None else [text for text in triage.evidence if _SAID not in text]
    parts += told[:1]
    parts.append(_SIGNED[signature])
    if triage is not None:
        parts.append(_LOOKS_LIKE.get(triage.category, triage.category))
    return f"{case.held:,} of {case.rows:,} records are held: {'; '.join(parts)}"


def _in_words(reason: str) -> str:
    """A reason's signature as the end of "12 records …"."""
    kind, _, name = reason.partition(":")
    if kind == "contract":
        return f"break the rule {name}"
    if kind == "sanitize":
        return f"stand out in the model's activations ({name})"
    if kind == "screen":
        return f"{_SCREENED.get(name, 'lie far from the trusted records')} ({name})"
    if kind == "sample":
        return "were drawn at random for review"
    return "are held only with their batch"
