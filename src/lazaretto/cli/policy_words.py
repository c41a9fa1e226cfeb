"""What a policy does, in words: one sentence for each thing that somebody decides by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.policy import Policy


def effects(policy: Policy) -> list[str]:
    """What becomes of deliveries under a policy.

    Examples:
        >>> effects(policy)[1]
        'A delivery without a valid signature is taken.'
    """
    return [*_deliveries(policy), *_records(policy), *_batches(policy), *_afterwards(policy)]


def _deliveries(policy: Policy) -> Iterator[str]:
    sources, limits = policy.sources, policy.limits
    if sources.places is None:
        yield "Operators take no delivery, because sources.places is missing; a shell takes files."
    else:
        yield f"Deliveries come from {', '.join(sources.places)}, and from nowhere else."
    yield (
        "A delivery without a valid signature is "
        f"{'refused' if sources.require_signature else 'taken'}."
    )
    yield (
        f"A delivery of more than {limits.max_bytes:,} bytes, {limits.max_rows:,} records or "
        f"{limits.max_columns:,} columns is refused."
    )


def _records(policy: Policy) -> Iterator[str]:
    screen, columns = policy.screen, policy.columns
    if policy.contract is None:
        yield "No contract is named: only ids and vectors are checked by built-in rules."
    else:
        named = policy.contract if isinstance(policy.contract, str) else "the contract"
        yield f"A record that breaks a rule of {named} is held."
    if not screen.runs:
        yield (
            "Nothing is screened: poison that keeps the contract's rules is not looked for, and "
            "each verdict says so."
        )
        return
    if columns.label is None and "detectors" not in screen.model_fields_set:
        yield "No label is named: a wrong label is not seen. Name it in columns.label."
    for mode, words in _MODES.items():
        names = [
            f"{name} (apart)" if config.apart and mode != "off" else name
            for name, config in policy.portfolio.items()
            if config.mode == mode
        ]
        if names:
            yield f"{words}: {', '.join(names)}."
    rate = f"{100 * screen.false_quarantine_rate:g} %"
    if not screen.decides:
        yield "No detector may hold anything: screening only reports."
    elif screen.hold == "rate":
        yield f"In every batch about {rate} of the clean records are held."
    else:
        yield (
            f"At most {rate} of the clean records are held on average, and none where a batch "
            "looks like a clean one."
        )


_MODES = {
    "enforce": "Detectors that may hold records",
    "shadow": "Detectors that only report",
    "off": "Detectors that do not run",
}


def _batches(policy: Policy) -> Iterator[str]:
    screen = policy.screen
    if not screen.runs:
        yield (
            f"A batch is held whole when {100 * screen.batch.hold_when_held_fraction:g} % of its "
            "records are held."
        )
        return
    yield (
        f"A batch is held whole when {100 * screen.batch.hold_when_held_fraction:g} % of its "
        f"records are held, or when a batch test fires, which a clean batch does with a chance of "
        f"{screen.batch.alpha:g}."
    )
    together = "with the source's other small batches"
    yield (
        f"A batch in which a poisoned share of {100 * screen.min_poison_share:g} % could not be "
        f"seen is judged {together if screen.small_batches.mode == 'pool' else 'by nobody'}, and "
        "held where that is not enough."
    )
    if screen.drift.mode == "enforce":
        yield "A source whose batches drift together from the reference is held."
    elif screen.drift.mode == "shadow":
        yield "Drift of a source is reported, and holds nothing."
    else:
        yield "Drift of a source is not measured."


def _afterwards(policy: Policy) -> Iterator[str]:
    review, kept = policy.review, policy.retention
    yield f"Held records that nobody decides on are rejected after {review.expire_days} days."
    if review.require_two_people:
        yield "Who decides and who publishes are two people."
    else:
        yield "One person may decide and publish."
    if kept.delivered_days is None:
        yield "Deliveries are kept for ever."
    else:
        yield f"Deliveries are deleted after {kept.delivered_days} days, and cannot be replayed."
