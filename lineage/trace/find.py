"""Finds what a question is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.errors import NotFoundError, UsageError
from lazaretto.lineage.claims.bits import Kind, version_end
from lazaretto.lineage.claims.names import registry as spell_registry
from lazaretto.lineage.trace.describe import Described, describe
from lazaretto.lineage.trace.holdings import BATCH, MODEL
from lazaretto.storage.tables import lineage_name, lineage_version
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lazaretto.lineage.trace.world import World

_MOST_SHOWN = 20
_LONGEST = 200


def find_batch(world: World, batch: str) -> list[int]:
    """Vertices of a batch that was received here, or that others tell of.

    Raises:
        NotFoundError: nobody tells of it.
    """
    found = [
        world.vertex(row.id)
        for row in world.told.nodes.values()
        if row.kind == BATCH and row.version == batch
    ]
    return found or claimed_batch(world, batch)


def left_out(world: World, batches: Iterable[str]) -> frozenset[int]:
    """Vertices of batches that a question leaves out.

    Raises:
        NotFoundError: nobody tells of one: a slip must not look like an answer.
    """
    return frozenset(vertex for batch in batches for vertex in find_batch(world, batch))


def claimed_batch(world: World, batch: str) -> list[int]:
    """Vertices of a batch that only others tell of.

    Raises:
        NotFoundError: nobody tells of it.
    """
    version = lineage_version.c
    query = sa.select(version.id).where(
        version.version == batch, version.kinds.bitwise_and(int(Kind.BATCH)) != 0
    )
    found = [version_end(id_) for id_ in world.catalog.scalars(query)]
    if not found:
        raise NotFoundError(f"no batch {batch!r} was received")
    return found


def find_model(world: World, name: str, version: str, registry: str | None) -> int:
    """The vertex of a model version.

    Args:
        world: the graph.
        name: of the model.
        version: of it.
        registry: where models of this name are in several.

    Raises:
        NotFoundError: there is no such model version; the message names those there are.
        UsageError: it is in several registries.
    """
    versions = model_versions(world, name)
    found = [model for model in versions if model.version == version]
    if registry is not None:
        spelled = spell_registry(registry)
        found = [model for model in found if spell_registry(model.namespace) == spelled]
    if not found:
        newest = ", ".join(model.label for model in versions[::-1][:_MOST_SHOWN])
        asked = excerpt(f"{name}@{version}", _LONGEST)
        raise NotFoundError(f"no model {asked}; there is: {newest or 'none'}")
    if len(found) > 1:
        places = ", ".join(model.namespace for model in found)
        raise UsageError(f"{name}@{version} is in more than one registry; name one of: {places}")
    return found[0].vertex


def model_versions(world: World, name: str, registry: str | None = None) -> list[Described]:
    """All versions of a model that anybody tells of, in order of registration."""
    mine = [
        world.vertex(row.id)
        for row in world.told.nodes.values()
        if row.kind == MODEL and row.name == name and registry in (None, row.namespace)
    ]
    column, version = lineage_name.c, lineage_version.c
    query = (
        sa.select(version.id)
        .join(lineage_name, column.id == version.name)
        .where(column.name == name, version.kinds.bitwise_and(int(Kind.MODEL)) != 0)
    )
    if registry is not None:
        query = query.where(column.namespace.in_({registry, spell_registry(registry)}))
    mine += [version_end(id_) for id_ in world.catalog.scalars(query)]
    found = [m for m in describe(world, dict.fromkeys(mine)).values() if m.kind == MODEL]
    return sorted(found, key=lambda m: (m.at.timestamp() if m.at else 0.0, m.namespace, m.label))


def all_models(world: World) -> set[int]:
    """Vertices of all model versions that anybody tells of."""
    version = lineage_version.c
    mine = {world.vertex(row.id) for row in world.told.nodes.values() if row.kind == MODEL}
    query = sa.select(version.id).where(
        version.kinds.bitwise_and(int(Kind.MODEL)) != 0,
        version.kinds.bitwise_and(int(Kind.HIDDEN)) == 0,
    )
    return mine | {version_end(id_) for id_ in world.catalog.scalars(query)}
