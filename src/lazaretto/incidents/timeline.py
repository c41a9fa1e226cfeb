"""Everything that happened around an incident, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.authority.holds import noun_of
from lazaretto.incidents.difference import difference
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import (
    HoldLifted,
    HoldPlaced,
    IncidentAction,
    IncidentAnswered,
    IncidentAssigned,
    IncidentClosed,
    IncidentNoted,
    IncidentOpened,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.incidents.actions import Action
    from lazaretto.incidents.recorded import Incident
    from lazaretto.ledger.events import Event
    from lazaretto.values import IncidentAnswer

_KINDS = (
    IncidentOpened.kind,
    IncidentAssigned.kind,
    IncidentNoted.kind,
    HoldPlaced.kind,
    HoldLifted.kind,
    IncidentAnswered.kind,
    IncidentAction.kind,
    IncidentClosed.kind,
)


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened.

    Attributes:
        seq: ledger entry.
        at: when, UTC.
        by: id of who did it.
        what: in words.
    """

    seq: int
    at: datetime
    by: str
    what: str


def timeline_of(
    connection: Connection, incident: Incident, actions: Sequence[Action]
) -> list[Moment]:
    """What was done to an incident, and what was done about it, oldest first.

    Args:
        connection: of the catalog.
        incident: which.
        actions: what was done about it.

    Raises:
        LedgerError: an entry was edited.
    """
    found = [Moment(one.seq, one.at, one.by.id, one.what) for one in actions]
    last = incident.first
    for entry in entries(connection, kinds=_KINDS, after=incident.seq - 1):
        if getattr(entry.event, "incident", None) == incident.id:
            found.append(Moment(entry.seq, entry.at, entry.actor.id, _what(entry.event, last)))
            if isinstance(entry.event, IncidentAnswered):
                last = entry.event.answer
    return sorted(found, key=lambda moment: moment.seq)


def _what(event: Event, last: IncidentAnswer) -> str:
    said = event.kind
    match event:
        case IncidentOpened():
            said = f"opened: {event.reason}"
        case IncidentAssigned():
            said = f"assigned to {event.assignee or 'nobody in particular'}"
        case IncidentNoted():
            said = f"noted: {event.text}"
        case HoldPlaced():
            said = f"{noun_of(event.what)} {event.name} put on hold: {event.reason}"
        case HoldLifted():
            said = f"hold on {noun_of(event.what)} {event.name} lifted: {event.reason}"
        case IncidentAnswered():
            said = f"asked again: {'; '.join(difference(last, event.answer).sentences())}"
        case IncidentAction():
            said = f"entry {event.seq} linked{f': {event.note}' if event.note else ''}"
        case IncidentClosed():
            said = f"closed: {event.conclusion}"
    return said
