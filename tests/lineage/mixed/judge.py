"""Holds the library's answers about a history against the truth."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mixed.names import registry_of
from mixed.oracle import made_of, truth
from mixed.questions import questions

from lazaretto import lineage
from lazaretto.errors import NotFoundError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from mixed.case import Case
    from mixed.oracle import Model
    from mixed.questions import Asked

    from lazaretto.lineage import Trace
    from lazaretto.storage.workspace import Workspace

_CLOCKS = 20.0
"""Seconds by which what two clocks say may differ, twice over."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered: names of model versions, and what is said of the whole."""

    models: frozenset[Model]
    unknown: frozenset[Model]
    evaluated: frozenset[Model]
    complete: bool
    why: dict[Model, list[str]] = field(compare=False, default_factory=dict)

    @property
    def exit_code(self) -> int:
        """1: affected; 0: clear and complete; 4: cannot say."""
        if self.models:
            return 1
        return 0 if self.complete and not self.unknown else 4


@dataclass(frozen=True, slots=True)
class Wrong:
    """An answer that is wrong, and by which check."""

    check: str
    question: str
    text: str


def read(trace: Trace) -> Answer:
    """The parts of an answer that are held against the truth."""

    def named(model: object) -> Model:
        return model.registry.rstrip("/"), model.name, model.version  # type: ignore[attr-defined]

    return Answer(
        models=frozenset(map(named, trace.models)),
        unknown=frozenset(map(named, trace.unknown)),
        evaluated=frozenset(map(named, trace.evaluated)),
        complete=trace.complete,
        why={named(model): list(model.why) for model in trace.unknown},
    )


def answers(workspace: Workspace, case: Case, only: str | None = None) -> dict[str, Answer]:
    """The answers to questions about a history, by their words; see `judge`."""
    found: dict[str, Answer] = {}
    for asked in questions(case.world, only):
        with contextlib.suppress(NotFoundError):
            found[asked.words] = read(asked.ask(workspace))
    return found


def judge(
    workspace: Workspace,
    case: Case,
    only: str | None = None,
    tally: Counter[str] | None = None,
) -> Iterator[Wrong]:
    """Checks the answers about a history that a workspace has.

    Args:
        workspace: that has it.
        case: the history.
        only: the words of one question, which is asked alone.
        tally: counts what is asked of each model version, and what is answered.
    """
    for asked in questions(case.world, only):
        try:
            answer = read(asked.ask(workspace))
        except NotFoundError as error:
            if asked.batches & _told_batches(case):
                yield Wrong("found", asked.words, str(error))
            continue
        if tally is not None:
            tally["asked"] += len(case.told.models)
            tally["affected"] += len(answer.models & case.told.models)
            tally["unknown"] += len(answer.unknown & case.told.models)
        yield from _judge(case, asked, answer)
    models = sorted(case.told.models, key=lambda model: (len(made_of(case.world, model)), model))
    for model in models[-1:] if only is None else models:
        if only in (None, _words(model)):
            yield from _judge_model(workspace, case, model)


def _words(model: Model) -> str:
    return f"model {show(model)}"


def _told_batches(case: Case) -> set[str]:
    text = json.dumps(case.events)
    return {b.id for b in case.world.batches.values() if b.ours or b.id in text}


def _judge(case: Case, asked: Asked, answer: Answer) -> Iterator[Wrong]:
    right = truth(case.world, asked.batches, case.told.hidden)
    told = case.told.models

    def wrong(check: str, models: frozenset[Model], what: str) -> Iterator[Wrong]:
        for model in sorted(models):
            why = "; ".join(answer.why.get(model, []))
            yield Wrong(check, asked.words, f"{show(model)} {what}{': ' if why else ''}{why}")

    missed = (right.affected & told) - answer.models - answer.unknown
    yield from wrong("missed", missed & right.certain, "is affected, and is not in the answer")
    if missed and answer.complete:
        yield from wrong("complete", missed, "is affected, and the answer is complete without it")
    if answer.exit_code == 0 and right.affected & told:
        yield from wrong("exit", right.affected & told, "is affected, and the exit code is 0")
    if not case.story.attack:
        yield from wrong("accused", answer.models - right.affected, "is not affected")
        known = (right.measured & told) - answer.evaluated - answer.unknown
        if case.exact:
            yield from wrong("measured", known, "was measured on it, and is not told as evaluated")
    if case.exact:
        yield from wrong("unsure", answer.unknown, "is unknown, although all is told")
        if not answer.complete:
            yield Wrong("incomplete", asked.words, "the answer is not complete")
    elif not case.told.lost and not case.story.attack and not case.unvouched:
        # Moments are compared two by two: a run in between may have read late and written early.
        slack = _CLOCKS + max((run.job.moments[2] for run in case.world.runs), default=0.0)
        early = frozenset(m for m in answer.unknown if _ended(case, m) + slack < asked.since)
        yield from wrong("early", early, "is unknown, and was made before")


def _ended(case: Case, model: Model) -> float:
    """When a model version was last told of; never, where an open run may go on making it."""
    found = [
        at
        for at, kind, v in case.world.ledger
        if kind == "register" and (v["registry"], v["model"], v["version"]) == model
    ]
    for run in case.world.runs:
        things = [made.write.thing for made in run.made]
        seen = [s.read.thing for s in run.seen if s.version == model[2]]
        named = [thing for thing in (*things, *seen) if thing.startswith("model:")]
        if model[:2] in {registry_of(thing) for thing in named}:
            if run.job.loss or run.job.fate != "complete" or run.job.ticks:
                return float("inf")
            found.append(case.told.spans.get(run.job.key, (0, float("inf")))[1])
    return max(found, default=float("inf"))


def _judge_model(workspace: Workspace, case: Case, model: Model) -> Iterator[Wrong]:
    registry, name, version = model
    words = _words(model)
    try:
        trace = lineage.trace_model(workspace, name, version, registry=registry)
    except NotFoundError as error:
        yield Wrong("found", words, str(error))
        return
    told = frozenset(batch.id for batch in trace.batches) & case.world.batches.keys()
    right = made_of(case.world, model)
    if not case.story.attack and (extra := told - right):
        yield Wrong("accused", words, f"it was not made of {', '.join(sorted(extra))}")
    if trace.complete and (less := right - told):
        yield Wrong("complete", words, f"it was also made of {', '.join(sorted(less))}")
    if case.exact and not trace.complete:
        yield Wrong("incomplete", words, "the answer is not complete")


def show(model: Model) -> str:
    """A model version in words."""
    registry, name, version = model
    return f"{name}@{version} of {registry.removeprefix('mlflow://').partition(':')[0]}"
