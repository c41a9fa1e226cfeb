"""One question of any kind: checked, with the whole name of what it is about, and answered."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lazaretto import window
from lazaretto.errors import UsageError
from lazaretto.ledger.source_names import source_identity
from lazaretto.lineage.trace.handles import (
    named_version,
    policy_digest,
    require_version,
    signing_key,
    version_number,
)
from lazaretto.lineage.trace.questions import (
    trace_dataset,
    trace_decision,
    trace_key,
    trace_policy,
    trace_reference,
)
from lazaretto.lineage.trace.trace import trace_batch, trace_model, trace_record, trace_source
from lazaretto.times import in_utc

if TYPE_CHECKING:
    from lazaretto.lineage.trace.answer import Trace
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import Question

KINDS = (
    "source",
    "batch",
    "record",
    "key",
    "policy",
    "reference",
    "decision",
    "dataset",
    "model",
)
"""What can be asked about; each is a command of ``lazaretto trace``."""
VERSIONED = ("policy", "reference", "dataset", "model")
"""Kinds whose subject is a name, an ``@`` and a version."""
LONGEST_SUBJECT = 2_000
MOST_LEFT_OUT = 1_000


def checked_question(question: Question) -> Question:
    """The question, with its window in UTC, and each batch that it leaves out once.

    Args:
        question: what is asked.

    Raises:
        UsageError: no such kind, no or too long a subject, one without a version where it needs
            one, a window or a registry that does not fit, an empty window, or batches left out of
            what a model was made of, or too many of them.

    Examples:
        >>> from lazaretto.lineage import Question
        >>> checked_question(Question("batch", "vendor/1", without=["b/2", "a/1", "b/2"])).without
        ['a/1', 'b/2']
    """
    kind = question.kind
    if kind not in KINDS:
        raise UsageError(f"a question is about a {', '.join(KINDS)}; not about {kind!r}")
    if not 0 < len(question.subject.strip()) <= LONGEST_SUBJECT:
        raise UsageError(f"name what is in question, in 1 to {LONGEST_SUBJECT:,} characters")
    if kind in VERSIONED:
        require_version(kind, question.subject)
    since, until = (moment and in_utc(moment) for moment in (question.since, question.until))
    if (since or until) and kind not in ("source", "key"):
        raise UsageError("only a source or a key has a window: leave out since and until")
    if until is not None and kind == "key":
        raise UsageError("what a key signed is followed up to now: leave out until")
    if since is not None and until is not None and since >= until:
        raise UsageError(f"the window is empty: {since.isoformat()} is not before its end")
    if question.by not in window.WINDOWS:
        raise UsageError(
            f"a window is by one of {', '.join(window.WINDOWS)}, not by {question.by!r}"
        )
    if question.by != window.EITHER and kind != "source":
        raise UsageError("only the window of a source is by what it says: leave out by")
    if question.registry is not None and kind != "model":
        raise UsageError("only a model is in a registry: leave it out")
    if question.without and kind == "model":
        raise UsageError("a model was made of what it was made of: leave out --without")
    if len(question.without) > MOST_LEFT_OUT:
        raise UsageError(f"at most {MOST_LEFT_OUT} batches can be left out of a question")
    return replace(question, since=since, until=until, without=sorted(set(question.without)))


def resolved_question(workspace: Workspace, question: Question) -> Question:
    """The question about the one thing that its subject names now, by its whole name.

    A source goes by its first name, a key and a policy by all digits, a model by the version that
    an alias stands for. So two people who ask the same ask the same question.

    Args:
        workspace: where.
        question: what is asked.

    Raises:
        UsageError: it is no question, or its subject names more than one thing.
        NotFoundError: there is no such key, policy or model.

    Examples:
        >>> from lazaretto.lineage import Question
        >>> resolved_question(workspace, Question("source", "vendor")).subject
        'vendor'
    """
    question = checked_question(question)
    name, _, version = question.subject.rpartition("@")
    with workspace.catalog.read() as connection:
        match question.kind:
            case "source":
                subject = source_identity(connection, question.subject)
            case "key":
                subject = signing_key(connection, question.subject)
            case "policy":
                subject = f"{name}@{policy_digest(connection, name, version)}"
            case "model":
                found = named_version(connection, name, version, question.registry)
                subject = f"{name}@{found}"
            case _:
                subject = question.subject
    return replace(question, subject=subject)


def ask(workspace: Workspace, question: Question) -> Trace:
    """Answers a question of any kind, as the records are now.

    Args:
        workspace: where.
        question: what is asked.

    Raises:
        NotFoundError: there is nothing of what it is about, or of what it leaves out.
        UsageError: it is no question.

    Examples:
        >>> from lazaretto.lineage import Question
        >>> ask(workspace, Question("batch", monday)).model_ids
        ['net@1']
    """
    asked = checked_question(question)
    subject, without = asked.subject, asked.without
    name, _, version = subject.rpartition("@")
    match asked.kind:
        case "source":
            since, until = asked.since, asked.until
            found = trace_source(workspace, subject, since, until, by=asked.by, without=without)
        case "batch":
            found = trace_batch(workspace, subject, without=without)
        case "record":
            found = trace_record(workspace, subject, without=without)
        case "key":
            found = trace_key(workspace, subject, asked.since, without=without)
        case "policy":
            found = trace_policy(workspace, name, version, without=without)
        case "reference":
            found = trace_reference(workspace, name, version, without=without)
        case "decision":
            found = trace_decision(workspace, subject, without=without)
        case "dataset":
            found = trace_dataset(workspace, name, version_number(version), without=without)
        case _:
            found = trace_model(workspace, name, version, registry=asked.registry)
    return found
