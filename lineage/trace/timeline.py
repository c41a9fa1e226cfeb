"""What happened, in order: the window, deliveries, decisions, trainings, aliases, recalls."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from lazaretto.lineage.trace.answer import Trace, TracedAlias

STATES = {
    "affected": ", affected",
    "unknown": ", which may be affected",
    "measured": ", only measured with it",
    "asked": "",
    "other": "",
}
"""What is said of a version in use, behind its name."""


class Moment(NamedTuple):
    """Something that happened.

    Attributes:
        at: when.
        kind: window, delivered, refused, decided, admitted, trained, in use, recalled or asked.
        what: in words, with names that are as hostile as those in the answer.
        entry: of the ledger; None: it has none of its own.
    """

    at: datetime
    kind: str
    what: str
    entry: int | None = None


def timeline(trace: Trace) -> list[Moment]:
    """All moments of an answer, the oldest first.

    Args:
        trace: the answer.
    """
    return sorted(_moments(trace), key=lambda moment: (moment.at, moment.entry or 0))


def _moments(trace: Trace) -> Iterator[Moment]:
    question = trace.question
    if question.since is not None:
        yield Moment(question.since, "window", "the window in question begins")
    if question.until is not None:
        yield Moment(question.until, "window", "the window in question ends")
    yield Moment(trace.at, "asked", f"the question was asked, up to ledger entry {trace.seq}")
    for batch in trace.batches:
        if batch.received_at is not None:
            rows = "" if batch.rows is None else f", {batch.rows} records"
            yield Moment(batch.received_at, "delivered", f"{batch.id}{rows}")
    for refused in trace.refused:
        what = f"{refused.uri}: {refused.code}, {refused.reason}"
        yield Moment(refused.at, "refused", what, refused.seq)
    for one in trace.decisions:
        kind = "admitted" if one.what in ("ADMIT", "PUBLISH") else "decided"
        what = f"{one.what} {one.records} records of {one.batch} by {one.actor}"
        what += f": {one.reason}" if one.reason else ""
        yield Moment(one.at, kind, what, one.seq)
    for model in (*trace.models, *trace.evaluated):
        if model.registered_at is not None:
            yield Moment(model.registered_at, "trained", f"{model.id} was registered")
    for alias in trace.aliases:
        yield from _in_use(alias)
    for recall in trace.recalls:
        lost = sum(recall.batches.values())
        what = f"{lost} records from {recall.dataset}@{recall.version} on by {recall.actor}"
        yield Moment(recall.at, "recalled", f"{what}: {recall.reason}", recall.seq)


def _in_use(alias: TracedAlias) -> Iterator[Moment]:
    what = f"{alias.alias} of {alias.model}"
    named = f"{alias.model}@{alias.version}" + STATES[alias.state]
    why = f": {alias.reason}" if alias.reason else ""
    yield Moment(
        alias.at,
        "in use",
        f"{what} stood for {named} from here on, by {alias.actor}{why}",
        alias.seq,
    )
    if alias.until is not None:
        yield Moment(alias.until, "in use", f"{what} no longer stood for {named}")
