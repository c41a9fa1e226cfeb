"""What was done about an incident since it was opened: found in the ledger, or linked by people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.incidents.placed import placed
from lazaretto.incidents.production import MODEL_ALIASED, models_of
from lazaretto.ledger.chain import entries, entries_at
from lazaretto.ledger.events import (
    KeyRevoked,
    ModelRegistered,
    RecordsRecalled,
    SourceRegistered,
    kinds,
    subject_of,
    to_payload,
)
from lazaretto.values import TrustTier

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.incidents.placed import Placed
    from lazaretto.incidents.recorded import Incident
    from lazaretto.ledger.chain import Entry
    from lazaretto.ledger.events import Event
    from lazaretto.values import Actor

_KINDS = (RecordsRecalled.kind, KeyRevoked.kind, SourceRegistered.kind, ModelRegistered.kind)


@dataclass(frozen=True, slots=True)
class Action:
    """Something that was done.

    Attributes:
        seq: its ledger entry.
        at: when, UTC.
        by: who.
        kind: of the entry, such as ``records_recalled``.
        subject: what it is about, as the ledger says, such as ``dataset:digits``; of a new model
            version, ``model@version``.
        what: what it did, in words.
        note: what somebody who linked it says; None: it was found by itself.
    """

    seq: int
    at: datetime
    by: Actor
    kind: str
    subject: str
    what: str
    note: str | None = None


def actions_of(
    connection: Connection, incident: Incident, sources: Collection[str]
) -> list[Action]:
    """Recalls, key revocations, new model versions and aliases that concern an incident.

    Those since it was opened, by the batches and models of its last answer; and what people linked,
    whenever that was.

    Args:
        connection: of the catalog.
        incident: which.
        sources: who delivered the batches in question.

    Raises:
        LedgerError: an entry was edited.
    """
    answer = incident.answer
    batches, models = set(answer.batches), placed(answer)
    notes = {linked.entry: linked.note for linked in incident.linked}
    found = {
        seq: _action(entry, notes[seq]) for seq, entry in entries_at(connection, notes).items()
    }
    wanted = [kind for kind in (*_KINDS, MODEL_ALIASED) if kind in kinds()]
    for entry in entries(connection, kinds=wanted, after=incident.seq):
        if entry.seq not in found and _concerns(entry.event, batches, models, sources):
            found[entry.seq] = _action(entry, None)
    return [found[seq] for seq in sorted(found)]


def trained_anew(incident: Incident, actions: Collection[Action]) -> set[str]:
    """Models of which a version was registered since that the last answer does not accuse."""
    accused = {*incident.answer.models, *incident.answer.unknown}
    new = {one.subject for one in actions if one.kind == ModelRegistered.kind}
    return models_of(new - accused)


def _concerns(
    event: Event, batches: Collection[str], models: Placed, sources: Collection[str]
) -> bool:
    match event:
        case RecordsRecalled():
            return any(member.batch in batches for member in event.members)
        case KeyRevoked():
            return event.source in sources
        case SourceRegistered():
            return event.source in sources and event.trust_tier is TrustTier.REVOKED
        case ModelRegistered():
            return models.concerns(event.registry, event.model)
        case _:
            said = to_payload(event)
            return models.concerns(str(said.get("registry")), str(said.get("model")))


def _action(entry: Entry, note: str | None) -> Action:
    event = entry.event
    subject = subject_of(event)
    if isinstance(event, ModelRegistered):
        subject = f"{event.model}@{event.version}"
    return Action(entry.seq, entry.at, entry.actor, entry.kind, subject, _what(entry), note)


def _what(entry: Entry) -> str:
    match entry.event:
        case RecordsRecalled() as event:
            return (
                f"{event.records} records recalled from {event.dataset}; version {event.version} "
                f"is the first without them"
            )
        case KeyRevoked() as event:
            return f"key {event.key_id[:16]} of {event.source} revoked: {event.reason}"
        case SourceRegistered() as event:
            return f"source {event.source} is {event.trust_tier.value}"
        case ModelRegistered() as event:
            learned = "" if event.dataset is None else f" on {event.dataset}@{event.snapshot}"
            return f"{event.model}@{event.version} registered, trained{learned}"
        case event if event.kind == MODEL_ALIASED:
            said = to_payload(event)
            model, version, alias = (said.get(name) for name in ("model", "version", "alias"))
            stands = "no version" if version is None else f"version {version}"
            return f"{alias} of {model} stands for {stands}"
        case event:
            return event.kind.replace("_", " ")
