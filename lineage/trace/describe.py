"""Tells what vertices of a walk are: versions with their names, and runs."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.lineage.claims.bits import Kind
from lazaretto.lineage.claims.names import PART, Name, dataset_in_store
from lazaretto.lineage.claims.timeline import EVER, NEVER
from lazaretto.lineage.trace.holdings import BATCH, MODEL, SNAPSHOT, VIEW
from lazaretto.storage.bulk import among
from lazaretto.storage.tables import lineage_name, lineage_run, lineage_version

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlalchemy.engine import Row

    from lazaretto.lineage.trace.world import World

RUN = "RUN"
HIDDEN = "HIDDEN"
_START = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Described:
    """What a vertex is.

    Attributes:
        vertex: of the walk.
        kind: BATCH, SNAPSHOT, VIEW, MODEL, RUN, or HIDDEN for a step of a rule.
        namespace: OpenLineage namespace of the dataset, or of the job of a run.
        name: its name, or that of the job.
        version: of it; of a run its id.
        at: when it came to be known.
        ours: whether the ledger tells of it.
        source: of a batch.
        t_from: start of the interval in which a batch was collected.
        t_to: its end.
        received_at: when a batch arrived.
        signature: of a batch; ``CLAIMED``: others tell of it, and nothing verified it.
        digest: sha256 (hex) of its content.
        rows: records.
        seq: ledger entry that made it.
    """

    vertex: int
    kind: str
    namespace: str
    name: str
    version: str
    at: datetime | None
    ours: bool
    source: str | None = None
    t_from: datetime | None = None
    t_to: datetime | None = None
    received_at: datetime | None = None
    signature: str | None = None
    digest: str | None = None
    rows: int | None = None
    seq: int | None = None

    @property
    def label(self) -> str:
        """Short name: the batch id, ``dataset@version``, ``model@version`` or ``run JOB``."""
        if self.kind == BATCH:
            return self.version
        if self.kind == RUN:
            return f"run {self.name} ({self.version})"
        name = self.name.replace(PART, " partition ")
        if self.kind in (SNAPSHOT, VIEW) and PART not in self.name:
            name = posixpath.basename(self.name.rstrip("/")) or self.name
        return f"{name}@{self.version}"


def describe(world: World, vertices: Iterable[int]) -> dict[int, Described]:
    """What some vertices are.

    Args:
        world: that was walked.
        vertices: of the walk.
    """
    found: dict[int, Described] = {}
    versions: list[int] = []
    runs: list[int] = []
    for vertex in vertices:
        row = world.node(vertex)
        if row is not None:
            found[vertex] = _of_ledger(vertex, row)
        elif vertex > 0:
            (runs if vertex % 2 else versions).append(vertex // 2)
    for each in (_versions(world, versions), _runs(world, runs)):
        found |= {described.vertex: described for described in each}
    return found


def moment(micros: int | None) -> datetime | None:
    """A moment from microseconds since 1970; None: none is known, as where a run is open."""
    known = micros is not None and EVER < micros < NEVER
    return _START + timedelta(microseconds=micros) if known and micros is not None else None


def _of_ledger(vertex: int, row: Row[Any]) -> Described:
    return Described(
        vertex=vertex,
        kind=row.kind,
        namespace=row.namespace,
        name=row.name,
        version=row.version,
        at=row.received_at,
        ours=True,
        source=row.source,
        t_from=row.t_from,
        t_to=row.t_to,
        received_at=row.received_at,
        signature=row.signature,
        digest=row.digest,
        rows=row.rows,
        seq=row.first_seq,
    )


def _versions(world: World, ids: Collection[int]) -> Iterable[Described]:
    if not ids:
        return
    version, name = lineage_version.c, lineage_name.c
    query = (
        sa.select(lineage_version, name.namespace, name.name.label("dataset"))
        .join(lineage_name, name.id == version.name)
        .where(among(world.catalog, version.id, list(ids)))
    )
    for row in world.catalog.execute(query):
        kinds = Kind(row.kinds)
        kind = SNAPSHOT
        if kinds & Kind.HIDDEN:
            kind = HIDDEN
        elif kinds & Kind.MODEL:
            kind = MODEL
        elif kinds & Kind.BATCH:
            kind = BATCH
        yield Described(
            vertex=2 * row.id,
            kind=kind,
            namespace=row.namespace,
            name=row.dataset,
            version=row.version,
            at=moment(row.first_at),
            ours=dataset_in_store(Name(row.namespace, row.dataset)) is not None,
            source=row.source,
            t_from=moment(row.t_from),
            t_to=moment(row.t_to),
            received_at=moment(row.received_at or row.first_at),
            signature="CLAIMED" if kind == BATCH else None,
            digest=row.digest,
            rows=row.rows,
        )


def _runs(world: World, ids: Collection[int]) -> Iterable[Described]:
    if not ids:
        return
    run = lineage_run.c
    query = sa.select(lineage_run).where(among(world.catalog, run.id, list(ids)))
    for row in world.catalog.execute(query):
        yield Described(
            vertex=2 * row.id + 1,
            kind=RUN,
            namespace=row.namespace,
            name=row.job,
            version=row.run,
            at=moment(row.started_at),
            ours=row.run.startswith("ledger:"),
        )
