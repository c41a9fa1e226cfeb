"""Incidents as the ledger tells them: read one, list them, and the rows that they make."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lazaretto.errors import NotFoundError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.cover import agree, event_of
from lazaretto.ledger.events import (
    IncidentAction,
    IncidentAnnounced,
    IncidentAnswered,
    IncidentAssigned,
    IncidentClosed,
    IncidentNoted,
    IncidentOpened,
)
from lazaretto.ledger.state import Put, Update, entry_columns
from lazaretto.storage import tables
from lazaretto.text import excerpt
from lazaretto.values import Remark

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from typing import Any

    from sqlalchemy.engine import Connection, Row

    from lazaretto.ledger.chain import Entry
    from lazaretto.ledger.state import Change
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import Actor, IncidentAnswer, Question

OPEN, CLOSED = "OPEN", "CLOSED"
_KINDS = (
    IncidentAssigned.kind,
    IncidentNoted.kind,
    IncidentAnswered.kind,
    IncidentAnnounced.kind,
    IncidentAction.kind,
    IncidentClosed.kind,
)
_table = tables.incident


@dataclass(frozen=True, slots=True)
class Linked:
    """An entry of which somebody said that it is something done about an incident.

    Attributes:
        entry: number of that entry.
        note: what it was for; may be empty.
        by: who said so.
        at: when, UTC.
        seq: ledger entry of saying so.
    """

    entry: int
    note: str
    by: Actor
    at: datetime
    seq: int


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident.

    Attributes:
        id: of the incident.
        title: one line for people.
        question: what is asked.
        reason: why it was opened.
        state: ``OPEN`` or ``CLOSED``.
        assignee: who handles it, such as ``user:ann``; None: nobody in particular.
        opened_at: when, UTC.
        opened_by: who.
        seq: ledger entry of the opening.
        first: what the records said then.
        answer: what they said when they were asked last.
        answered_at: when that was.
        answered_in: ledger entry of that.
        told: the answer that people were told of last; None: they were told of none.
        told_of: ledger entry of that answer.
        closed_at: when it was closed; None: it is open.
        closed_by: who did.
        conclusion: in words.
        notes: oldest first.
        linked: entries that somebody linked, oldest first.
    """

    id: str
    title: str
    question: Question
    reason: str
    state: str
    assignee: str | None
    opened_at: datetime
    opened_by: Actor
    seq: int
    first: IncidentAnswer
    answer: IncidentAnswer
    answered_at: datetime
    answered_in: int
    told: IncidentAnswer | None = None
    told_of: int | None = None
    closed_at: datetime | None = None
    closed_by: Actor | None = None
    conclusion: str | None = None
    notes: list[Remark] = field(default_factory=list)
    linked: list[Linked] = field(default_factory=list)

    @property
    def settled(self) -> bool:
        """Whether a person concluded it, and the records have said nothing else since."""
        return self.closed_at is not None and self.answered_at <= self.closed_at

    @property
    def affected(self) -> bool:
        """Whether models learned from it, or were measured with it, and nobody concluded that."""
        return bool(self.answer.models or self.answer.measured) and not self.settled

    @property
    def cannot_say(self) -> bool:
        """Whether more model versions may be affected than are known."""
        whole = self.answer.complete and not self.answer.unknown
        return not whole and not self.settled


def get_incident(workspace: Workspace, incident: str) -> Incident:
    """An incident, as the ledger tells it.

    Raises:
        NotFoundError: there is no such incident.
        ChangedStateError: the catalog's row does not say what the ledger says.

    Examples:
        >>> get_incident(workspace, incident).question.subject
        'vendor'
    """
    with workspace.catalog.read() as connection:
        return read_incident(connection, incident)


def read_incident(connection: Connection, incident: str) -> Incident:
    """The same, within the caller's view of the catalog."""
    row = connection.execute(_table.select().where(_table.c.id == incident)).one_or_none()
    if row is None:
        raise NotFoundError(
            f"there is no incident {excerpt(incident, 80)!r}; `lazaretto incident list` has all"
        )
    return _told(connection, row)


def list_incidents(
    workspace: Workspace,
    *,
    state: str | None = None,
    after: str | None = None,
    limit: int = 50,
) -> list[Incident]:
    """Incidents, newest first.

    Args:
        workspace: catalog and store.
        state: ``OPEN`` or ``CLOSED``; None: all.
        after: page on: id of the last one seen.
        limit: at most so many.

    Raises:
        NotFoundError: there is no incident `after`.
        ChangedStateError: a row of the catalog does not say what the ledger says.

    Examples:
        >>> [one.state for one in list_incidents(workspace)]
        ['OPEN']
    """
    query = _table.select().order_by(_table.c.seq.desc()).limit(limit)
    if state is not None:
        query = query.where(_table.c.state == state)
    with workspace.catalog.read() as connection:
        if after is not None:
            query = query.where(_table.c.seq < read_incident(connection, after).seq)
        return [_told(connection, row) for row in connection.execute(query).all()]


def find_open(workspace: Workspace, question: Question) -> Incident | None:
    """The newest open incident that asks this; None where there is none.

    Args:
        workspace: catalog and store.
        question: as `lazaretto.lineage.resolved_question` gives it.

    Examples:
        >>> from lazaretto.values import Question
        >>> find_open(workspace, Question("source", "nobody")) is None
        True
    """
    table = _table.c
    same = (table.kind == question.kind) & (table.subject == question.subject)
    query = _table.select().where(table.state == OPEN, same)
    with workspace.catalog.read() as connection:
        for row in connection.execute(query.order_by(table.seq.desc())).all():
            found = _told(connection, row)
            if found.question == question:
                return found
    return None


def changes(entry: Entry) -> Iterator[Change]:
    """What an entry does to the table of incidents."""
    match entry.event:
        case IncidentOpened() as event:
            yield Put(_table, _columns(_opened(entry, event)) | entry_columns(entry))
        case IncidentAssigned() as event:
            yield Update(_table, {"id": event.incident}, {"assignee": event.assignee})
        case IncidentClosed() as event:
            yield Update(_table, {"id": event.incident}, {"state": CLOSED})


def _told(connection: Connection, row: Row[Any]) -> Incident:
    first, opened = event_of(connection, _table.name, row.id, row, IncidentOpened)
    found = _opened(first, opened)
    subject = f"incident:{row.id}"
    for entry in entries(connection, subject=subject, kinds=_KINDS, after=first.seq):
        found = _then(found, entry)
    agree(_table.name, row.id, row, _columns(found))
    return found


def _opened(entry: Entry, event: IncidentOpened) -> Incident:
    return Incident(
        id=event.incident,
        title=event.title,
        question=event.question,
        reason=event.reason,
        state=OPEN,
        assignee=None,
        opened_at=entry.at,
        opened_by=entry.actor,
        seq=entry.seq,
        first=event.answer,
        answer=event.answer,
        answered_at=entry.at,
        answered_in=entry.seq,
    )


def _then(found: Incident, entry: Entry) -> Incident:
    """The incident behind one more entry."""
    by, at, seq = entry.actor, entry.at, entry.seq
    then: dict[str, Any] = {}
    match entry.event:
        case IncidentAssigned() as event:
            then = {"assignee": event.assignee}
        case IncidentNoted() as event:
            then = {"notes": [*found.notes, Remark(event.text, by, at, seq)]}
        case IncidentAnswered() as event:
            then = {"answer": event.answer, "answered_at": at, "answered_in": seq}
        case IncidentAnnounced() as event:
            told = found.answer if event.made == found.answered_in else found.told
            then = {"told": told, "told_of": event.made}
        case IncidentAction() as event:
            then = {"linked": [*found.linked, Linked(event.seq, event.note, by, at, seq)]}
        case IncidentClosed() as event:
            then = {"closed_at": at, "closed_by": by, "conclusion": event.conclusion}
            then["state"] = CLOSED
    return replace(found, **then)


def _columns(incident: Incident) -> dict[str, object]:
    """The catalog's columns of an incident, by what the ledger says."""
    return {
        "id": incident.id,
        "title": incident.title,
        "kind": incident.question.kind,
        "subject": incident.question.subject,
        "since": incident.question.since,
        "until": incident.question.until,
        "state": incident.state,
        "assignee": incident.assignee,
        "opened_at": incident.opened_at,
    }
