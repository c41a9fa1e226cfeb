"""Which versions served under which names, and when: the aliases of models in question."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import ModelAliased
from lazaretto.lineage.claims.names import registry
from lazaretto.lineage.trace.answer import TracedAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.engine import Connection

    from lazaretto.lineage.trace.answer import Trace

Version = tuple[str, str, str]
"""Registry, name and version of a model."""


def with_aliases(connection: Connection, trace: Trace) -> Trace:
    """The answer, and by which names applications found the models in it, and when.

    Args:
        connection: of the catalog; its ledger was checked.
        trace: the answer.
    """
    return replace(trace, aliases=_aliases(connection, _states(trace)))


def _states(trace: Trace) -> dict[Version, str]:
    """What the answer says of model versions; asked about a model, only that one is in question."""
    if trace.question.kind == "model":
        asked = [one for one in trace.models if one.id == trace.question.subject]
        return {(registry(one.registry), one.name, one.version): "asked" for one in asked}
    told = [(each, "measured") for each in trace.evaluated]
    found = {(registry(m.registry), m.name, m.version): state for m, state in told}
    found |= {(registry(m.registry), m.name, m.version): "unknown" for m in trace.unknown}
    return found | {(registry(m.registry), m.name, m.version): "affected" for m in trace.models}


def _aliases(connection: Connection, states: Mapping[Version, str]) -> list[TracedAlias]:
    """All that stood under a name of the models of some versions, in order."""
    models = {(where, name) for where, name, _ in states}
    found: list[TracedAlias] = []
    standing: dict[tuple[str, str, str], int] = {}
    for entry in entries(connection, kinds=[ModelAliased.kind], checked=True) if models else ():
        event = entry.event
        if not isinstance(event, ModelAliased):
            continue
        where = registry(event.registry)
        if (where, event.model) not in models:
            continue
        key = where, event.model, event.alias
        if (before := standing.pop(key, None)) is not None:
            found[before] = replace(found[before], until=entry.at)
        if event.version is not None:
            standing[key] = len(found)
            state = states.get((where, event.model, event.version), "other")
            found.append(
                TracedAlias(
                    seq=entry.seq,
                    at=entry.at,
                    until=None,
                    registry=event.registry,
                    model=event.model,
                    alias=event.alias,
                    version=event.version,
                    state=state,
                    actor=entry.actor.id,
                    reason=event.reason,
                )
            )
    return found
