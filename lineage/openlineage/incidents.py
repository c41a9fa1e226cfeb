"""From the ledger to OpenLineage: what was done about incidents. What people wrote stays here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.lineage.openlineage import naming
from lazaretto.lineage.openlineage.facts import Context, Facts, decision

if TYPE_CHECKING:
    from lazaretto.ledger import events

_DID = {
    "incident_assigned": "ASSIGNED",
    "incident_noted": "COMMENTED",
    "incident_announced": "ANNOUNCED",
    "incident_action": "ACTED",
    "incident_closed": "CLOSED",
}


def incident_opened(event: events.IncidentOpened, context: Context) -> Facts:
    """Somebody opened an incident."""
    asked = event.question
    return Facts(
        naming.job("incident", event.incident),
        "DECISION",
        run_facets=decision(
            context,
            "OPENED",
            [asked.subject, *event.answer.models],
            actor=context.actor,
            reason=f"incident {event.incident}, {_answered(event)}",
        ),
    )


def incident_answered(event: events.IncidentAnswered, context: Context) -> Facts:
    """The question of an incident was asked again, and answered differently."""
    return Facts(
        naming.job("incident", event.incident),
        "DECISION",
        run_facets=decision(
            context,
            "ANSWERED",
            [event.incident, *event.answer.models],
            actor=context.actor,
            reason=f"incident {event.incident}, {_answered(event)}",
        ),
    )


def incident_event(
    event: events.IncidentAssigned
    | events.IncidentNoted
    | events.IncidentAnnounced
    | events.IncidentAction
    | events.IncidentClosed,
    context: Context,
) -> Facts:
    """An incident was assigned, noted on, told of, acted on or closed."""
    return Facts(
        naming.job("incident", event.incident),
        "DECISION",
        run_facets=decision(context, _DID[event.kind], [event.incident], actor=context.actor),
    )


def hold(event: events.HoldPlaced | events.HoldLifted, context: Context) -> Facts:
    """A source, a dataset or a model was put on hold, or let go again."""
    outcome = "STOPPED" if event.kind == "hold_placed" else "RESUMED"
    return Facts(
        naming.job("hold", event.what.value.lower(), event.name),
        "DECISION",
        run_facets=decision(
            context,
            outcome,
            [event.name],
            actor=context.actor,
            reason=f"incident {event.incident}",
        ),
    )


def _answered(event: events.IncidentOpened | events.IncidentAnswered) -> str:
    answer = event.answer
    whole = "" if answer.complete else "; the answer may be incomplete"
    return f"{len(answer.models)} model versions affected, {len(answer.unknown)} unknown{whole}"
