"""What is in production: the aliases by which applications find a model version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import kinds, to_payload

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy.engine import Connection

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
    """

    model: str
    alias: str
    version: str
    since: datetime
    affected: bool = False
    unknown: bool = False


def in_production(
    connection: Connection, affected: Collection[str], unknown: Collection[str] = ()
) -> list[InProduction]:
    """The aliases of the models that an incident is about, and what they name now.

    Args:
        connection: of the catalog.
        affected: model versions that are known to be affected, as ``model@version``.
        unknown: those that may be affected.

    Returns:
        By model and alias, the affected ones first; empty where no alias was ever set.

    Raises:
        LedgerError: an entry was edited.
    """
    if MODEL_ALIASED not in kinds():
        return []
    names = models_of([*affected, *unknown])
    standing: dict[tuple[object, ...], InProduction] = {}
    for entry in entries(connection, kinds=[MODEL_ALIASED]):
        said = to_payload(entry.event)
        model, alias, version = (said.get(name) for name in ("model", "alias", "version"))
        if model not in names:
            continue
        place = said.get("registry"), model, alias
        standing.pop(place, None)
        if version is not None:
            one = f"{model}@{version}"
            standing[place] = InProduction(
                str(model), str(alias), str(version), entry.at, one in affected, one in unknown
            )
    return sorted(
        standing.values(), key=lambda one: (not one.affected, not one.unknown, one.model, one.alias)
    )


def models_of(versions: Collection[str]) -> set[str]:
    """The models of some versions, by name."""
    return {version.rpartition("@")[0] for version in versions}
