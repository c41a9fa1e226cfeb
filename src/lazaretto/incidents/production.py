"""What is in production: the aliases by which applications find a model version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.incidents.placed import placed
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import kinds, to_payload
from lazaretto.lineage.claims.names import registry as spelled

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.values import IncidentAnswer

MODEL_ALIASED = "model_aliased"
"""Kind of the entries that put a model version in use, by name: it is not of this room."""


@dataclass(frozen=True, slots=True)
class InProduction:
    """A model version that applications use.

    Attributes:
        model: name of the model.
        alias: by which they find it, such as ``production``.
        version: that the alias names now.
        since: when it was set, UTC.
        affected: whether this version is known to be affected.
        unknown: whether it may be affected.
        registry: namespace of its registry.
    """

    model: str
    alias: str
    version: str
    since: datetime
    affected: bool = False
    unknown: bool = False
    registry: str = ""


def in_production(connection: Connection, answer: IncidentAnswer) -> list[InProduction]:
    """The aliases of the models that an incident is about, and what they name now.

    Args:
        connection: of the catalog.
        answer: of the incident.

    Returns:
        By model and alias, the affected ones first; empty where no alias was ever set.

    Raises:
        LedgerError: an entry was edited.
    """
    if MODEL_ALIASED not in kinds():
        return []
    models = placed(answer)
    standing: dict[tuple[str, str, str], InProduction] = {}
    for entry in entries(connection, kinds=[MODEL_ALIASED]):
        said = to_payload(entry.event)
        version = said.get("version")
        model, alias, registry = (str(said.get(name)) for name in ("model", "alias", "registry"))
        if not models.concerns(registry, model):
            continue
        place = spelled(registry), model, alias
        standing.pop(place, None)
        if version is not None:
            one = f"{model}@{version}"
            standing[place] = InProduction(
                model,
                alias,
                str(version),
                entry.at,
                models.is_affected(registry, one),
                models.is_unknown(registry, one),
                registry,
            )
    return sorted(
        standing.values(),
        key=lambda one: (not one.affected, not one.unknown, one.model, one.alias, one.registry),
    )


def named(one: InProduction, all_: Sequence[InProduction]) -> str:
    """The name of a model, with its registry where others have one of that name."""
    several = len({spelled(each.registry) for each in all_ if each.model == one.model}) > 1
    return f"{one.model} in {one.registry}" if several else one.model


def models_of(versions: Collection[str]) -> set[str]:
    """The models of some versions, by name."""
    return {version.rpartition("@")[0] for version in versions}
