"""A trace for people: what it comes to, what to do, and then what that rests on."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from lazaretto.cli.layout import Document, facts
from lazaretto.cli.listing import flow, listing, words
from lazaretto.cli.text import cell, counted, plain
from lazaretto.cli.trace_records import batches, decisions, recalls, record, refused, sources
from lazaretto.window import EITHER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lazaretto.lineage import (
        Question,
        RetrainStep,
        Trace,
        TracedAlias,
        TracedModel,
        UnknownModel,
    )

_FEW = 3
_STEPS = 6
"""Steps of a path that are shown at each of its ends."""
_SENTENCE = 4000
_TYPED = 77
_STATES = {
    "affected": "affected",
    "unknown": "may be affected",
    "measured": "only measured with it",
}


def view(
    trace: Trace, written: Mapping[str, object] | None = None, *, whole: bool = False
) -> RenderableType:
    """The answer: totals before lists, models before batches, and the plan first of all.

    Args:
        trace: the answer.
        written: files that were written, by what they are.
        whole: show all of each list.
    """
    from lazaretto.lineage import conclusion, in_use_now

    parts: list[RenderableType] = [cell(in_use_now(trace), "bold", limit=_SENTENCE)]
    parts.append(asked(trace.question))
    parts += [cell(sentence, limit=_SENTENCE) for sentence in conclusion(trace)]
    parts += _in_use(trace, whole=whole)
    parts += plan(trace, whole=whole)
    parts += record(trace)
    parts += _models(trace, whole=whole)
    parts += sources(trace, whole=whole)
    parts += batches(trace, whole=whole)
    parts += refused(trace, whole=whole)
    parts += decisions(trace, whole=whole)
    parts += recalls(trace, whole=whole)
    caveats = trace.completeness.caveats()
    parts += listing("What this answer could not see", caveats, _caveat, whole=whole)
    if written:
        parts += [Text(""), facts(written)]
    return Group(*parts)


def asked(question: Question) -> RenderableType:
    """The question, such as ``source vendor, 2026-03-03 00:00:00Z to …``."""
    parts: list[object] = [question.kind, question.subject]
    if question.since or question.until:
        start = plain(question.since) if question.since else "…"
        parts += ["from", start, "to", plain(question.until) if question.until else "…"]
    if question.by != EITHER:
        parts += words(f"by what was {question.by}")
    if question.without:
        parts += [*words("as if never delivered:"), *question.without]
    return flow(*(cell(part, "bold", limit=_SENTENCE) for part in parts))


def _in_use(trace: Trace, *, whole: bool) -> Iterator[RenderableType]:
    """By which names applications find versions of these models now, the affected ones first."""
    title = f"In use now: {counted(len(trace.in_use), 'name')}"
    yield from listing(title, trace.in_use, _alias, whole=whole, most=_FEW)


def _alias(alias: TracedAlias) -> Iterator[RenderableType]:
    state = _STATES.get(alias.state, "")
    named = f"{alias.model}@{alias.version}"
    yield flow(alias.alias, "is", named, "since", alias.at, cell(state, "bold") if state else "")


def plan(trace: Trace, *, whole: bool) -> Iterator[RenderableType]:
    """What to do about each model, in order, and how to leave the batches out."""
    from lazaretto.lineage.trace.asking import leave_out

    title = f"What to do, in this order ({counted(len(trace.retrain), 'model')})"
    yield from listing(title, trace.retrain, _step, whole=whole)
    commands = leave_out(trace)
    if commands:
        out = max(len(step.exclude) for step in trace.retrain)
        yield cell(f"Leave out {counted(out, 'batch')}:")
        yield Document("\n".join(_typed(line) for line in commands))


def _typed(line: str) -> str:
    """A command to copy: a long one goes on below, as a shell reads it."""
    lines, row = [], " "
    for word in map(shlex.quote, shlex.split(line)):
        if row.strip() and len(row) + len(word) > _TYPED:
            lines.append(f"{row} \\")
            row = "   "
        row += f" {plain(word)}"
    return "\n".join([*lines, row])


def _step(step: RetrainStep) -> Iterator[RenderableType]:
    do = "retrain" if step.retrain else f"nothing to retrain, {step.newest} is clear"
    back = f"roll back to {step.last_clean}" if step.last_clean else "no version is clear"
    told = f"{do} (affected: {_few(step.affected)})"
    told += f"; {back}" if step.retrain else ""
    yield flow(f"{step.order}.", f"{step.model}:", *words(told))


def _models(trace: Trace, *, whole: bool) -> Iterator[RenderableType]:
    of_a_model = trace.question.kind == "model"
    what = "Made of" if of_a_model else "Affected"
    title = f"{what}: {counted(len(trace.models), 'model version')}"
    names: dict[tuple[str, str, str], list[str]] = {}
    for one in trace.in_use:
        names.setdefault((one.registry, one.model, one.version), []).append(one.alias)

    def shown(model: TracedModel) -> Iterator[RenderableType]:
        found = names.get((model.registry, model.name, model.version), ())
        return _model(model, found, whole=whole)

    yield from listing(title, trace.models, shown, whole=whole)
    title = f"May be affected, which is not known: {len(trace.unknown):,}"
    yield from listing(title, trace.unknown, lambda one: _unknown(one, whole=whole), whole=whole)
    title = f"Only measured with it: {counted(len(trace.evaluated), 'model version')}"
    yield from listing(title, trace.evaluated, _measured, whole=whole)


def _model(model: TracedModel, names: Sequence[str], *, whole: bool) -> Iterator[RenderableType]:
    """A model with its first path, which ends at the names by which applications find it."""
    use = "inherited" if model.inherited else "+".join(model.roles)
    records = ""
    if model.tainted_rows is not None:
        of = "" if model.rows is None else f" of {model.rows:,}"
        records = f"{model.tainted_rows:,}{of} records"
    yield flow(model.id, use, records, model.registered_at, "claimed" if model.external else "")
    if model.paths:
        bases = model.bases[0] if model.bases else []
        yield _way(model.paths[0], bases, without=model.id, names=names, whole=whole)


def _unknown(model: UnknownModel, *, whole: bool) -> Iterator[RenderableType]:
    yield flow(model.id, *words("; ".join(model.why)))
    if model.paths:
        yield _way(model.paths[0], model.bases[0], without=model.id, whole=whole)


def _measured(model: TracedModel) -> Iterator[RenderableType]:
    yield flow(model.id, model.registered_at)


def _way(
    path: Sequence[str],
    bases: Sequence[str],
    *,
    without: str,
    names: Sequence[str] = (),
    whole: bool,
) -> RenderableType:
    """A path and what its steps rest on; the model itself stands above it."""
    labels = list(path[:-1]) if path[-1] == without and len(path) > 1 else list(path)
    steps = [labels[0], *(f"→ {label}" for label in labels[1:])]
    weak = [
        f"({to} {basis})"
        for to, basis in zip(path[1:], bases, strict=False)
        if not basis.startswith("known")
    ]
    if not whole:
        steps, weak = _ends_of(steps, "→"), _ends_of(weak, "")
    rests = [word for text in weak for word in words(text)] if weak else ["(known)"]
    ends = [f"→ {without} → {name}" for name in names]
    return flow("by", *steps, *ends, *rests, depth=4)


def _ends_of(steps: list[str], before: str) -> list[str]:
    """The first and the last steps of a long path, such as of a table with many appends."""
    more = len(steps) - 2 * _STEPS
    if more <= 1:
        return steps
    return [*steps[:_STEPS], *words(f"{before} ({more:,} more)".strip()), *steps[-_STEPS:]]


def _caveat(text: str) -> Iterator[RenderableType]:
    yield flow("-", *words(text))


def _few(names: Sequence[str]) -> str:
    more = len(names) - _FEW
    shown = ", ".join(names[:_FEW])
    return f"{shown} and {more:,} more" if more > 0 else shown
