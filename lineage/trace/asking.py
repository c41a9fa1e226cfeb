"""The command that asks a question again, and those that leave its batches out of a training."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from lazaretto.window import EITHER

if TYPE_CHECKING:
    from lazaretto.lineage.trace.answer import Trace
    from lazaretto.values import Question

EXCLUDED = "excluded.txt"


def command_of(question: Question, *more: str) -> str:
    """The command that asks a question, for a shell.

    Args:
        question: what is asked.
        more: further words of it.

    Examples:
        >>> from lazaretto.lineage import Question
        >>> command_of(Question("batch", "vendor/0123"))
        'lazaretto trace batch vendor/0123'
    """
    words = ["lazaretto", "trace", question.kind, question.subject]
    for option, moment in (("--since", question.since), ("--until", question.until)):
        if moment is not None:
            words += [option, moment.isoformat()]
    if question.by != EITHER:
        words += ["--by", question.by]
    if question.registry is not None:
        words += ["--registry", question.registry]
    for batch in question.without:
        words += ["--without", batch]
    return shlex.join([*words, *more])


def leave_out(trace: Trace) -> list[str]:
    """Commands that write the batches in question to a file, and take snapshots without them.

    Args:
        trace: the answer.
    """
    if not any(step.retrain and step.exclude for step in trace.retrain):
        return []
    datasets = dict.fromkeys(
        snapshot.id.rpartition("@")[0] for snapshot in trace.snapshots if snapshot.members_known
    )
    return [
        command_of(trace.question, "--exclude-to", EXCLUDED),
        *(
            shlex.join(["lazaretto", "dataset", "snapshot", name, "--exclude", EXCLUDED])
            for name in datasets
        ),
    ]
