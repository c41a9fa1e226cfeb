"""What a message about an incident says; it is written as one about a hold is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazaretto.operators.hold_message import Message, as_text, first, words

if TYPE_CHECKING:
    from lazaretto.operators.open_incident import OpenIncident

_TITLE = 140
_SAID = 1_000
_NAMES = 5


def incident_message(told: OpenIncident, said: str = "") -> Message:
    """The message about an incident.

    Args:
        told: the incident.
        said: what the workflow's author says besides.
    """
    affected = f"{len(told.models):,} model versions"
    if told.models or not told.cannot_say:
        conclusion = f"{affected} affected"
    else:
        conclusion = "cannot say whether a model is affected"
    facts = [
        ("About", words(f"{told.kind} {told.subject}")),
        ("Affected", f"{affected}, of {told.batches:,} batches"),
        ("May be affected", f"{len(told.unknown):,} model versions"),
        ("Only measured with it", f"{len(told.measured):,} model versions"),
        ("Answer", "whole" if told.complete else "not whole: more may be affected"),
        ("Incident", told.id),
    ]
    return Message(
        title=words(f"{told.title}: {conclusion}", _TITLE),
        said=words(" ".join(said.split()), _SAID),
        facts=facts,
        reasons=[words(sentence) for sentence in told.changed] or [words(told.reason)],
        notes=first([words(model) for model in told.models], _NAMES, "models"),
        link=told.link,
        button="Open the incident",
    )


def as_json(told: OpenIncident, message: Message) -> dict[str, Any]:
    """Body for a webhook of any program: the values, and the same as text."""
    return {
        "event": "lazaretto.incident",
        "incident": told.id,
        "title": told.title,
        "kind": told.kind,
        "subject": told.subject,
        "batches": told.batches,
        "models": told.models,
        "unknown": told.unknown,
        "measured": told.measured,
        "complete": told.complete,
        "cannot_say": told.cannot_say,
        "changed": told.changed,
        "link": told.link,
        "text": as_text(message),
    }
