"""An incident on one screen: what is known, what is in production, and what to do first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.incidents.actions import Action, actions_of
from lazaretto.incidents.difference import Difference, difference
from lazaretto.incidents.evidence import Evidence, evidence_of
from lazaretto.incidents.fitting import sources_asked
from lazaretto.incidents.holding import standing_holds
from lazaretto.incidents.production import InProduction, in_production
from lazaretto.incidents.recorded import Incident, read_incident
from lazaretto.incidents.steps import Step, steps_for
from lazaretto.incidents.timeline import Moment, timeline_of
from lazaretto.sources.refused import Refusal, refused_deliveries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

    from lazaretto.authority.holds import Hold
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import Question

MOST_REFUSED = 1_000
WINDOWED = ("source", "key")
"""Kinds of questions that have a window, in which deliveries may have been refused."""


@dataclass(frozen=True, slots=True)
class Overview:
    """An incident, and what the records say about it now.

    Attributes:
        incident: what was asked, answered, noted and concluded.
        since_opened: what the last answer says that the first did not.
        evidence: of the batches in question: keys, datasets, cases that wait.
        production: which versions of the models in question are in use, and since when.
        refused: deliveries refused in the window, under the name of the source, or of the one that
            has the key; the newest first.
        holds: in force for this incident.
        actions: what was done since it was opened.
        sources: whose deliveries the question is about; empty where it is about no source.
        timeline: all of it, oldest first.
        steps: what to do first.
    """

    incident: Incident
    since_opened: Difference
    evidence: Evidence
    production: list[InProduction]
    refused: list[Refusal]
    holds: list[Hold]
    actions: list[Action]
    sources: list[str]
    timeline: list[Moment]
    steps: list[Step]


def show_incident(workspace: Workspace, incident: str) -> Overview:
    """Puts an incident together. It does not ask the question again: that is `refresh`.

    Raises:
        NotFoundError: there is no such incident.
        ChangedStateError: a row of the catalog does not say what the ledger says.

    Examples:
        >>> shown = show_incident(workspace, incident)
        >>> shown.steps[0].what
        'Hold whatever vendor delivers from now on.'
    """
    with workspace.catalog.read() as connection:
        found = read_incident(connection, incident)
        evidence = evidence_of(connection, found.answer.batches, found.question)
        holds = standing_holds(connection, incident)
        production = in_production(connection, found.answer)
        asked = sources_asked(connection, found.question)
        actions = actions_of(connection, found, {*evidence.sources, *asked})
        return Overview(
            incident=found,
            since_opened=difference(found.first, found.answer),
            evidence=evidence,
            production=production,
            refused=_refused(connection, found.question, asked),
            holds=holds,
            actions=actions,
            sources=asked,
            timeline=timeline_of(connection, found, actions),
            steps=steps_for(found, evidence, holds, production, actions, asked),
        )


def _refused(connection: Connection, question: Question, sources: Sequence[str]) -> list[Refusal]:
    if question.kind not in WINDOWED:
        return []
    found = [
        one
        for source in sources
        for one in refused_deliveries(
            connection,
            source=source,
            since=question.since,
            until=question.until,
            limit=MOST_REFUSED,
        )
    ]
    return sorted(found, key=lambda one: -one.seq)[:MOST_REFUSED]
