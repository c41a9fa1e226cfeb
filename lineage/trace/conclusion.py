"""What an answer comes to, in two sentences: what is affected, and what may be or is clear."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.text import cut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lazaretto.lineage.trace.answer import Trace
    from lazaretto.values import Question

MOST_NAMED = 3
_LONGEST_REASON = 160
LONGEST_NAME = 200
"""A name of nobody's choice but the attacker's must not push the sentence from the screen."""
_OF_MANY = {
    "source": "of",
    "key": "signed by the key",
    "policy": "judged under the policy",
    "reference": "screened against the reference",
}
_IN_USE = {
    "affected": " (AFFECTED)",
    "unknown": " (may be affected)",
    "measured": " (only measured with it)",
}
_RELEASED = "the records that the decision let in"


def in_use_now(trace: Trace) -> str:
    """What applications use now of the models in question: the first line of every view.

    Args:
        trace: the answer.

    Examples:
        >>> from lazaretto.lineage import trace_batch
        >>> in_use_now(trace_batch(workspace, monday))
        'In use now: no name stands for a version of these models.'
    """
    if not trace.in_use:
        return "In use now: no name stands for a version of these models."
    named = [
        f"{one.alias} is {one.model}@{one.version}{_IN_USE.get(one.state, '')}"
        for one in trace.in_use
    ]
    return f"In use now: {_few(named)}."


def conclusion(trace: Trace) -> tuple[str, str]:
    """Two sentences that open every view of an answer.

    Names in them are as hostile as those in the answer: whoever shows them escapes them.

    Args:
        trace: the answer.

    Returns:
        What is affected; and what may be, or that all else is clear.

    Examples:
        >>> from lazaretto.lineage import trace_batch
        >>> conclusion(trace_batch(workspace, monday))[0]
        '1 model version learned from the batch: net@1.'
    """
    if trace.question.kind == "model":
        return _made_of(trace), _origins(trace)
    return _affected(trace), _others(trace)


def _affected(trace: Trace) -> str:
    learned, measured = trace.model_ids, [model.id for model in trace.evaluated]
    what = _subject(trace.question, len(trace.batches))
    told = ""
    if learned:
        told = f"{_number(len(learned), 'model version')} learned from {what}: {_few(learned)}"
    if measured:
        be = "was" if len(measured) == 1 else "were"
        only = f"{_number(len(measured), 'model version')} {be} only measured with"
        told += f", and {only} it: " if learned else f"{only} {what}: "
        told += _few(measured)
    if told:
        return f"{told}."
    if trace.question.kind in _OF_MANY and not trace.batches:
        name = cut(trace.question.subject, LONGEST_NAME)
        what = f"{_OF_MANY[trace.question.kind]} {name}{_without(trace.question)}"
        since = trace.question.since if trace.question.kind == "key" else None
        after = "" if since is None else f" and received since {since:%Y-%m-%d %H:%M} UTC"
        return f"No batch is in question: there is none {what}{after}."
    return f"No model version is known to have learned from {what}."


def _others(trace: Trace) -> str:
    clear = ""
    if trace.unaffected:
        others = f"the {_number(trace.unaffected, 'other model version')} on record"
        clear = f"{others} {'is' if trace.unaffected == 1 else 'are'} clear"
    if trace.unknown:
        few = trace.unknown[:MOST_NAMED]
        named = "; ".join(
            f"{cut(each.id, LONGEST_NAME)} ({cut(each.why[0], _LONGEST_REASON)})" for each in few
        )
        more = len(trace.unknown) - len(few)
        count = len(trace.unknown)
        told = f"{count:,} {'more ' if trace.models else ''}may be affected, which is not known: "
        told += f"{named}; and {more:,} more" if more else named
        return f"{told}; {clear}." if clear and _rest_is_known(trace) else f"{told}."
    if not trace.complete:
        what = "What else" if trace.models or trace.evaluated else "What"
        return f"{what} may be affected cannot be said: {_why_not(trace)}."
    if clear:
        return f"{clear[:1].upper()}{clear[1:]}."
    return "Nothing else that is on record can be affected."


def _made_of(trace: Trace) -> str:
    used = sum(source.used_rows for source in trace.sources)
    sources = [source.source for source in trace.sources]
    others = [model.id for model in trace.models if model.id != trace.question.subject]
    name = cut(trace.question.subject, LONGEST_NAME)
    told = f"{name} learned from {_number(len(trace.batches), 'batch')}"
    told += f" with {_number(used, 'record')}" if used else ""
    told += f" of {_number(len(sources), 'source')} ({_few(sources)})" if sources else ""
    by_way = f"{_number(len(others), 'other model version')}: {_few(others)}"
    return f"{told}, by way of {by_way}." if others else f"{told}."


def _origins(trace: Trace) -> str:
    if trace.complete:
        return "The origin of all that it was made of is on record."
    return f"It may have learned from more, which is not known: {_why_not(trace)}."


def _why_not(trace: Trace) -> str:
    """The reasons for which an answer is not whole, the few most telling ones."""
    whole = trace.completeness
    reasons = list(whole.origins[:MOST_NAMED])
    if whole.elsewhere:
        reasons.append(whole.elsewhere)
    for count, what in (
        (whole.lag, "ledger entries are not in the index yet"),
        (whole.index_changed, "somebody changed rows of the lineage index"),
        (len(whole.possible_batches), "there are batches that may have been part of it"),
        (len(whole.unplaced), "later batches do not say when they were collected"),
        (len(whole.without_interval), "batches do not say when they were collected"),
        (len(whole.unchecked_snapshots), "there are files that could not be read"),
    ):
        if count:
            reasons.append(f"{what} ({count:,})")
    return "; ".join(cut(reason, _LONGEST_REASON) for reason in reasons[:MOST_NAMED])


def _rest_is_known(trace: Trace) -> bool:
    """Whether unknown models are all that an answer is not whole for."""
    whole = trace.completeness
    return not (
        whole.lag
        or whole.index_changed
        or whole.unplaced
        or whole.unchecked_snapshots
        or whole.without_interval
    )


def _subject(question: Question, batches: int) -> str:
    """What may have been learned from, as the object of a sentence."""
    some = _number(batches, "batch")
    name = cut(question.subject, LONGEST_NAME)
    if question.kind in _OF_MANY:
        return f"{some} {_OF_MANY[question.kind]} {name}{_without(question)}"
    one = {"batch": "the batch", "record": "the record"}
    what = one.get(question.kind, _RELEASED if question.kind == "decision" else name)
    return f"{what}{_without(question)}"


def _without(question: Question) -> str:
    return f" (without {_number(len(question.without), 'batch')})" if question.without else ""


def _few(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    shown = ", ".join(cut(name, LONGEST_NAME) for name in names[:MOST_NAMED])
    return f"{shown} and {more:,} more" if more > 0 else shown


def _number(count: int, noun: str) -> str:
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun}{'es' if noun.endswith('ch') else 's'}"
