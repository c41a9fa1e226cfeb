"""The question of an incident: the answer in the ledger's form, and the question in words."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from lazaretto.ledger.chain import entry
from lazaretto.ledger.events import files_of
from lazaretto.lineage import keep_report
from lazaretto.values import IncidentAnswer, PlacedModel
from lazaretto.window import EITHER

if TYPE_CHECKING:
    from datetime import datetime

    from lazaretto.lineage import Trace
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import Question

MODEL = "model"


def answer_of(trace: Trace, question: Question) -> IncidentAnswer:
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
        measured=[] if asked else [one.id for one in trace.evaluated],
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


def in_words(question: Question) -> str:
    """The question in a line, such as ``source vendor, 2026-03-01 00:00 to now``."""
    left_out = ""
    if question.without:
        count = len(question.without)
        left_out = f", without {count} batch{'es' * (count > 1)}"
    where = "" if question.registry is None else f" in {question.registry}"
    return f"{question.kind} {question.subject}{where}{_window(question)}{left_out}"


def opening_command(question: Question) -> str:
    """The command that opens an incident about a question, for a shell."""
    words = ["lazaretto", "incident", "open", f"--{question.kind}", question.subject]
    words += window_options(question)
    words += [] if question.by == EITHER else ["--by", question.by]
    words += [] if question.registry is None else ["--registry", question.registry]
    words += [word for batch in question.without for word in ("--without", batch)]
    return f"{shlex.join(words)} --why TEXT"


def window_options(question: Question) -> list[str]:
    """The window as options of a command."""
    found = []
    for option, moment in (("--since", question.since), ("--until", question.until)):
        if moment is not None:
            found += [option, moment.isoformat()]
    return found


def _window(question: Question) -> str:
    if question.since is None and question.until is None:
        return ""
    if question.kind == "key":
        return f", received since {_minute(question.since)}"
    by = "" if question.by == EITHER else f"{question.by} "
    since = "the beginning" if question.since is None else _minute(question.since)
    until = "now" if question.until is None else _minute(question.until)
    return f", {by}{since} to {until}"


def _minute(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
