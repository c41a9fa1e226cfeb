"""The life of an incident: opened, assigned, noted on, asked again, acted on, closed."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.errors import OvertakenError, UsageError
from lazaretto.incidents.difference import Difference, difference
from lazaretto.incidents.fitting import sources_to_hold
from lazaretto.incidents.holding import place, shell_of_holds, standing_holds
from lazaretto.incidents.question import answer_of, in_words, with_report
from lazaretto.incidents.recorded import OPEN, Incident, changes, read_incident
from lazaretto.ledger.chain import append
from lazaretto.ledger.chain import entry as ledger_entry
from lazaretto.ledger.events import (
    IncidentAction,
    IncidentAnswered,
    IncidentAssigned,
    IncidentClosed,
    IncidentNoted,
    IncidentOpened,
)
from lazaretto.ledger.state import record
from lazaretto.lineage import ask, resolved_question
from lazaretto.text import cut
from lazaretto.values import HoldKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import Question

LONGEST_TEXT = 4_000
LONGEST_TITLE = 200
LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What came of asking again.

    Attributes:
        before: the incident as it was.
        incident: the incident as it is.
        changed: what the records say now that they did not say before.
        seq: ledger entry of the new answer; None: they say the same, and nothing was recorded.
    """

    before: Incident
    incident: Incident
    changed: Difference
    seq: int | None


def open_incident(
    workspace: Workspace,
    question: Question,
    *,
    reason: str,
    title: str | None = None,
    holds: Sequence[tuple[HoldKind, str]] = (),
    hold_source: bool = False,
) -> Incident:
    """Opens an incident: asks its question, keeps the answer and its report, and places holds.

    Args:
        workspace: catalog and store; whoever acts through it is on record.
        question: what is asked.
        reason: why it is opened; stays on record.
        title: one line for people; default: the question.
        holds: what to stop at once, with the name of the source, dataset or model.
        hold_source: stop the source that the question is about, too; of a batch, a record or a key
            whoever delivered it.

    Returns:
        The incident, with what the records say now.

    Raises:
        NotFoundError: there is nothing of what it asks about, or no such source, dataset or model
            to stop.
        UsageError: no reason, a question that is not one, or a source to stop in a question that is
            not about one.

    Examples:
        >>> from lazaretto.values import Question
        >>> opened = open_incident(
        ...     workspace, Question("source", "vendor"), reason="its bucket was open"
        ... )
        >>> opened.state, opened.answer.models
        ('OPEN', ['net@1'])
    """
    question = resolved_question(workspace, question)
    reason = _text(reason, "a reason")
    named = cut(in_words(question), LONGEST_TITLE) if title is None else title
    named = _text(named, "a title", LONGEST_TITLE)
    stopped = [*(_sources(workspace, question) if hold_source else ()), *holds]
    trace = ask(workspace, question)
    answer = with_report(workspace, trace, answer_of(trace, question))
    incident = f"incident-{secrets.token_hex(8)}"
    with workspace.catalog.transaction() as connection:
        opened = IncidentOpened(incident, named, question, reason, answer)
        record(connection, opened, changes, actor=workspace.actor)
        for what, name in stopped:
            place(connection, incident, what, name, reason, workspace.actor)
        return read_incident(connection, incident)


def _sources(workspace: Workspace, question: Question) -> list[tuple[HoldKind, str]]:
    with workspace.catalog.read() as connection:
        return [(HoldKind.SOURCE, name) for name in sources_to_hold(connection, question)]


def assign(workspace: Workspace, incident: str, assignee: str | None) -> bool:
    """Makes an incident somebody's to handle. Others may still act on it.

    Args:
        workspace: catalog and store; whoever acts through it assigned the incident.
        incident: its id.
        assignee: such as ``user:ann``; None: nobody in particular.

    Returns:
        Whether it changed anything.

    Raises:
        NotFoundError: there is no such incident.
        UsageError: it is closed, or a name that is empty or too long.

    Examples:
        >>> assign(workspace, incident, "user:ann")
        True
    """
    if assignee is not None:
        _text(assignee, "an assignee", LONGEST_NAME)
    with workspace.catalog.transaction() as connection:
        if _require_open(connection, incident).assignee == assignee:
            return False
        event = IncidentAssigned(incident, assignee)
        record(connection, event, changes, actor=workspace.actor)
        return True


def note(workspace: Workspace, incident: str, text: str) -> int:
    """Puts a note on record; it stays there. A closed incident takes notes, too.

    Returns:
        The ledger entry.

    Raises:
        NotFoundError: there is no such incident.
        UsageError: a note that is empty or too long.

    Examples:
        >>> from lazaretto.incidents import get_incident
        >>> _ = note(workspace, incident, "the vendor confirms it")
        >>> [one.text for one in get_incident(workspace, incident).notes]
        ['the vendor confirms it']
    """
    said = _text(text, "a note")
    with workspace.catalog.transaction() as connection:
        read_incident(connection, incident)
        return append(connection, IncidentNoted(incident, said), actor=workspace.actor).seq


def refresh(workspace: Workspace, incident: str) -> Refreshed:
    """Asks the question again. Only an answer that differs goes on record, with its report.

    Args:
        workspace: catalog and store; whoever acts through it is on record.
        incident: its id; a closed one may be asked again, too.

    Raises:
        NotFoundError: there is no such incident, or what it asks about is gone.
        OvertakenError: somebody else asked meanwhile, and got another answer.

    Examples:
        >>> refresh(workspace, incident).changed.sentences()
        []
    """
    with workspace.catalog.read() as connection:
        before = read_incident(connection, incident)
    trace = ask(workspace, before.question)
    answer = answer_of(trace, before.question)
    changed = difference(before.answer, answer)
    if not changed.anything:
        return Refreshed(before, before, changed, None)
    answer = with_report(workspace, trace, answer)
    with workspace.catalog.transaction() as connection:
        if read_incident(connection, incident).answer != before.answer:
            raise OvertakenError(
                f"somebody else asked the question of {incident} meanwhile: look at it with "
                f"`lazaretto incident show {incident}`"
            )
        event = IncidentAnswered(incident, answer)
        seq = append(connection, event, actor=workspace.actor).seq
        return Refreshed(before, read_incident(connection, incident), changed, seq)


def link_action(workspace: Workspace, incident: str, seq: int, text: str = "") -> int:
    """Says that a ledger entry is something that was done about an incident.

    Recalls, key revocations and new model versions are found without that.

    Args:
        workspace: catalog and store; whoever acts through it is on record.
        incident: its id.
        seq: number of the entry.
        text: what it was for; may be empty.

    Returns:
        The ledger entry of the link.

    Raises:
        NotFoundError: there is no such incident.
        LedgerError: there is no such entry, or it was edited.
        UsageError: the entry is linked already, or the text is too long.

    Examples:
        >>> link_action(workspace, incident, 1, "the source was registered by this") > 1
        True
    """
    said = _text(text, "a note") if text else ""
    with workspace.catalog.transaction() as connection:
        found = _require_open(connection, incident)
        if any(linked.entry == seq for linked in found.linked):
            raise UsageError(f"entry {seq} is linked with {incident} already")
        event = IncidentAction(incident, seq, ledger_entry(connection, seq).hash, said)
        return append(connection, event, actor=workspace.actor).seq


def close(workspace: Workspace, incident: str, conclusion: str) -> Incident:
    """Concludes an incident. Its holds are lifted before, each with a reason of its own.

    Args:
        workspace: catalog and store; whoever acts through it is on record.
        incident: its id.
        conclusion: what came of it; stays on record.

    Raises:
        NotFoundError: there is no such incident.
        UsageError: it is closed already, a hold of it is in force, or there is no conclusion.

    Examples:
        >>> close(workspace, incident, "false alarm").state
        'CLOSED'
    """
    said = _text(conclusion, "a conclusion")
    with workspace.catalog.transaction() as connection:
        _require_open(connection, incident)
        holds = standing_holds(connection, incident)
        if holds:
            raise UsageError(
                f"{incident} still holds {len(holds)} thing{'s' * (len(holds) > 1)}; lift first: "
                + "; ".join(f"`{line}`" for line in shell_of_holds(holds))
            )
        event = IncidentClosed(incident, said)
        record(connection, event, changes, actor=workspace.actor)
        return read_incident(connection, incident)


def _require_open(connection: Connection, incident: str) -> Incident:
    found = read_incident(connection, incident)
    if found.state != OPEN:
        raise UsageError(f"{incident} is closed: open another incident")
    return found


def _text(text: str, what: str, longest: int = LONGEST_TEXT) -> str:
    if not 0 < len(text.strip()) <= longest:
        raise UsageError(f"{what} has 1 to {longest:,} characters")
    return text
