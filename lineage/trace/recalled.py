"""Which model versions learned from recalled records by way of others: tables, runs and models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import RecordsRecalled
from lazaretto.lineage.claims.bits import Basis
from lazaretto.lineage.claims.names import registry
from lazaretto.lineage.claims.reach import Steps, spread
from lazaretto.lineage.openlineage import naming
from lazaretto.lineage.trace.compose import opened
from lazaretto.lineage.trace.describe import describe
from lazaretto.lineage.trace.holdings import BATCH, MODEL, Dataset
from lazaretto.storage import tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.lineage.trace.world import World
    from lazaretto.storage.workspace import Workspace

Version = tuple[str, str, str]
"""Registry, name and version of a model."""


def recalled_by_way(workspace: Workspace) -> frozenset[Version]:
    """Model versions that records may have reached which were recalled later, by any way.

    A model that was registered with a snapshot is marked by the recall itself, record by record.
    From there, and from versions of datasets that tools of others read, it follows what they claim,
    also where that is only possible: who puts a model in use needs to know that it is clean.

    Args:
        workspace: catalog and store.

    Raises:
        LedgerError: the ledger does not hold.
    """
    with opened(workspace) as (_, world):
        start = {*_marked(world), *_read_elsewhere(world)}
        spread(world.catalog, sorted(start), known := set[int](), Steps(), most=Basis.POSSIBLE)
        reached = describe(world, known).values()
        return frozenset(
            (registry(what.namespace), what.name, what.version)
            for what in reached
            if what.kind == MODEL
        )


def _marked(world: World) -> Iterator[int]:
    """Vertices of the models that recalls name."""
    marks = world.catalog.execute(sa.select(tables.recalled_model)).all()
    named = {(mark.registry, mark.model, mark.version) for mark in marks}
    for row in world.told.nodes.values():
        if row.kind == MODEL and (registry(row.namespace), row.name, row.version) in named:
            yield world.vertex(row.id)


def _read_elsewhere(world: World) -> Iterator[int]:
    """Versions of datasets, read by others, that held a batch of which records were recalled."""
    batches = {row.version: row.id for row in world.told.nodes.values() if row.kind == BATCH}
    for entry in entries(world.catalog, kinds=[RecordsRecalled.kind], checked=True):
        event = entry.event
        if not isinstance(event, RecordsRecalled):
            continue
        dataset = Dataset(*naming.admitted(world.root, event.dataset))
        lost = [batches[one.batch] for one in event.members if one.batch in batches]
        for joined in world.joined.get(dataset, ()):
            number = joined.version
            if number is None or (
                number < event.version
                and any(world.whole[dataset].of(batch, number) for batch in lost)
            ):
                yield joined.end
