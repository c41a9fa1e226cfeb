"""The question of an incident: asked of the lineage, and the answer in the ledger's form."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from lazaretto.errors import UsageError
from lazaretto.ledger.chain import entry
from lazaretto.ledger.events import files_of
from lazaretto.lineage import (
    keep_report,
    trace_batch,
    trace_model,
    trace_record,
    trace_source,
)
from lazaretto.times import in_utc
from lazaretto.values import IncidentAnswer, IncidentQuestion, PlacedModel

if TYPE_CHECKING:
    from lazaretto.lineage import Trace
    from lazaretto.storage.workspace import Workspace

KINDS = ("source", "batch", "record", "model")
MODEL = "model"
LONGEST_SUBJECT = 2_000
MOST_LEFT_OUT = 1_000


def checked_question(question: IncidentQuestion) -> IncidentQuestion:
    """The question, with its window in UTC, and each batch that it leaves out once.

    Raises:
        UsageError: no such kind, no or too long a subject, a window of anything but a source, or
            batches left out of what a model was made of, or too many of them.
    """
    if question.kind not in KINDS:
        raise UsageError(f"a question is about a {', '.join(KINDS)}; not about {question.kind!r}")
    if not 0 < len(question.subject.strip()) <= LONGEST_SUBJECT:
        raise UsageError(f"name what is in question, in 1 to {LONGEST_SUBJECT:,} characters")
    windowed = question.since is not None or question.until is not None
    if windowed and question.kind != "source":
        raise UsageError("only a source has a window: leave out since and until")
    if question.without and question.kind == MODEL:
        raise UsageError("a model was made of what it was made of: leave out --without")
    if len(question.without) > MOST_LEFT_OUT:
        raise UsageError(f"at most {MOST_LEFT_OUT} batches can be left out of a question")
    since, until = (moment and in_utc(moment) for moment in (question.since, question.until))
    without = sorted(set(question.without))
    return replace(question, since=since, until=until, without=without)


def ask(workspace: Workspace, question: IncidentQuestion) -> Trace:
    """Asks the lineage, as the records are now.

    Raises:
        NotFoundError: there is no such source, batch or model version, or none of those batches
            that it leaves out.
        UsageError: the question is not one.
    """
    without = question.without
    match question.kind:
        case "source":
            since, until = question.since, question.until
            return trace_source(workspace, question.subject, since, until, without=without)
        case "batch":
            return trace_batch(workspace, question.subject, without=without)
        case "record":
            return trace_record(workspace, question.subject, without=without)
        case _:
            name, _, version = question.subject.rpartition("@")
            if not name or not version:
                raise UsageError(f"{question.subject!r} names no model version: NAME@VERSION")
            return trace_model(workspace, name, version)


def answer_of(trace: Trace, question: IncidentQuestion) -> IncidentAnswer:
    """What a trace answers. Asked about a model, that version is what is affected."""
    asked = question.kind == MODEL
    known = [one for one in trace.models if not asked or one.id == question.subject]
    unknown = [] if asked else trace.unknown
    return IncidentAnswer(
        head=trace.seq,
        complete=trace.complete,
        batches=sorted(trace.batch_ids),
        models=[question.subject] if asked else trace.model_ids,
        unknown=[each.id for each in unknown],
        placed=[
            *(PlacedModel(one.registry, one.id, unknown=False) for one in known),
            *(PlacedModel(one.registry, one.id, unknown=True) for one in unknown),
        ],
    )


def with_report(workspace: Workspace, trace: Trace, answer: IncidentAnswer) -> IncidentAnswer:
    """The answer with the files of its report, which is kept in the store and on record.

    A trace of a model has no report to keep.
    """
    if trace.question.kind == MODEL:
        return answer
    kept = keep_report(workspace, trace)
    with workspace.catalog.read() as connection:
        return replace(answer, report=files_of(entry(connection, kept.seq).event))


def in_words(question: IncidentQuestion) -> str:
    """The question in a line, such as ``source vendor, 2026-03-01 00:00 to now``."""
    left_out = ""
    if question.without:
        count = len(question.without)
        left_out = f", without {count} batch{'es' * (count > 1)}"
    if question.since is None and question.until is None:
        return f"{question.kind} {question.subject}{left_out}"
    since = "the beginning" if question.since is None else f"{question.since:%Y-%m-%d %H:%M}"
    until = "now" if question.until is None else f"{question.until:%Y-%m-%d %H:%M}"
    return f"{question.kind} {question.subject}, {since} to {until}{left_out}"


def trace_command(question: IncidentQuestion) -> str:
    """The command that asks the same once, for a shell."""
    words = ["lazaretto", "trace", question.kind, question.subject, *window_options(question)]
    left_out = [word for batch in question.without for word in ("--without", batch)]
    return shlex.join([*words, *left_out])


def window_options(question: IncidentQuestion) -> list[str]:
    """The window as options of a command."""
    found = []
    for option, moment in (("--since", question.since), ("--until", question.until)):
        if moment is not None:
            found += [option, moment.isoformat()]
    return found
