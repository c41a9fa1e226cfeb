"""What is on hold for an incident: a source, a dataset or a model, as the ledger tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.errors import OnHoldError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import HoldLifted, HoldPlaced, subject_of_holds
from lazaretto.ledger.state import Put, entry_columns
from lazaretto.storage import tables
from lazaretto.text import excerpt
from lazaretto.values import HoldKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
    from lazaretto.ledger.state import Change
    from lazaretto.values import Actor

_KINDS = (HoldPlaced.kind, HoldLifted.kind)
_NOUNS = {
    HoldKind.SOURCE: "source",
    HoldKind.PUBLISHING: "dataset",
    HoldKind.PROMOTION: "model",
}


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold that is in force.

    Attributes:
        incident: id of the incident that it is for.
        what: what is stopped.
        name: of the source, dataset or model.
        reason: why, as whoever placed it wrote.
        by: who placed it.
        at: when, UTC.
        seq: ledger entry.
    """

    incident: str
    what: HoldKind
    name: str
    reason: str
    by: Actor
    at: datetime
    seq: int

    @property
    def words(self) -> str:
        """The hold in a message: what, by which incident, since when, by whom, and how it ends."""
        noun, why = noun_of(self.what), excerpt(self.reason)
        return (
            f"{noun} {self.name!r} is on hold for incident {self.incident}, since "
            f"{self.at:%Y-%m-%d %H:%M}Z by {self.by.id} ({why}); `lazaretto incident lift "
            f"{self.incident}` ends the hold"
        )


def noun_of(what: HoldKind) -> str:
    """What a kind of hold is on: ``source``, ``dataset`` or ``model``."""
    return _NOUNS[what]


def holds_on(connection: Connection, what: HoldKind, name: str) -> list[Hold]:
    """The holds that are in force on something, oldest first; several incidents may have one each.

    Args:
        connection: of the catalog.
        what: what they stop.
        name: of the source, dataset or model.

    Raises:
        LedgerError: an entry was edited.
    """
    standing: dict[str, Hold] = {}
    for entry in entries(connection, subject=subject_of_holds(what, name), kinds=_KINDS):
        match entry.event:
            case HoldPlaced() as event:
                standing[event.incident] = hold_of(entry, event)
            case HoldLifted() as event:
                standing.pop(event.incident, None)
    return list(standing.values())


def require_no_hold(connection: Connection, what: HoldKind, name: str) -> None:
    """Refuses what a hold stops. Inside a transaction that writes, nobody can place one meanwhile.

    Args:
        connection: of the catalog.
        what: what is about to happen.
        name: of the source, dataset or model.

    Raises:
        OnHoldError: ``source_on_hold``, ``publishing_on_hold`` or ``promotion_on_hold``; it names
            the incident, and who placed the hold.
    """
    found = holds_on(connection, what, name)
    if found:
        raise OnHoldError("; ".join(hold.words for hold in found), code=code_of(what))


def code_of(what: HoldKind) -> str:
    """The stable reason of a refusal by a hold, such as ``source_on_hold``."""
    return f"{what.value.lower()}_on_hold"


def hold_of(entry: Entry, event: HoldPlaced) -> Hold:
    """A hold as the entry that placed it tells it."""
    return Hold(
        incident=event.incident,
        what=event.what,
        name=event.name,
        reason=event.reason,
        by=entry.actor,
        at=entry.at,
        seq=entry.seq,
    )


def changes(entry: Entry) -> Iterator[Change]:
    """What an entry does to the table of holds."""
    if isinstance(entry.event, HoldPlaced | HoldLifted):
        yield Put(tables.incident_hold, hold_columns(entry, entry.event))


def hold_columns(entry: Entry, event: HoldPlaced | HoldLifted) -> dict[str, object]:
    """The catalog's columns of a hold, by what the ledger says."""
    said: dict[str, object] = {
        "incident": event.incident,
        "what": event.what.value,
        "name": event.name,
        "in_force": isinstance(event, HoldPlaced),
        "reason": event.reason,
        "at": entry.at,
    }
    return said | entry_columns(entry)
