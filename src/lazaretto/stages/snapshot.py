"""Snapshot: name a version of the admitted dataset for a training, with what it really contains."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.dataset.admission import dataset_uri
from lazaretto.dataset.contents import members, version_digest
from lazaretto.dataset.delta import open_table
from lazaretto.errors import NotFoundError, UsageError
from lazaretto.ledger.chain import append
from lazaretto.ledger.events import SnapshotTaken
from lazaretto.storage import tables
from lazaretto.values import Member

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy.engine import Connection

    from lazaretto.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A training view.

    Attributes:
        dataset: name of the admitted dataset.
        uri: of its Delta table.
        version: Delta version.
        rows: how many records.
        members: batches with the rows that they really have in this version.
        digest: sha256 (hex) of the version's columns and data files.
        seq: ledger entry.
    """

    dataset: str
    uri: str
    version: int
    rows: int
    members: list[Member] = field(default_factory=list)
    digest: str = ""
    seq: int = 0

    def table(self, columns: list[str] | None = None) -> pa.Table:
        """Reads the records; ``sample_weight`` is the weight that reviewers gave."""
        return open_table(self.uri, self.version).to_pyarrow_table(columns=columns)


def snapshot(workspace: Workspace, dataset: str, *, version: int | None = None) -> Snapshot:
    """Freezes a version of the admitted dataset; the same version again gives the same snapshot.

    Args:
        workspace: catalog and store.
        dataset: name of the admitted dataset.
        version: Delta version; default the newest.

    Raises:
        NotFoundError: no such dataset, or no such version of it.
        UsageError: the version has rows that no known batch admitted: they went around the gate.
    """
    with workspace.catalog.read() as connection:
        if not connection.scalar(sa.select(sa.exists().where(tables.dataset.c.name == dataset))):
            raise NotFoundError(f"no dataset {dataset!r}: nothing was admitted to it yet")
    uri = dataset_uri(workspace, dataset)
    table = open_table(uri, version)
    number = table.version()
    with workspace.catalog.read() as connection:
        before = find_snapshot(connection, uri, dataset, number)
    if before is not None:
        return before
    found = members(table)
    event = SnapshotTaken(
        dataset=dataset,
        version=number,
        rows=sum(member.rows for member in found),
        digest=version_digest(table),
        members=found,
    )
    with workspace.catalog.transaction() as connection:
        before = find_snapshot(connection, uri, dataset, number)
        if before is not None:
            return before
        _refuse_strangers(connection, event, uri)
        written = append(connection, event, actor=workspace.actor)
        connection.execute(
            tables.snapshot.insert().values(
                dataset=dataset,
                version=number,
                rows=event.rows,
                digest=event.digest,
                at=datetime.now(UTC),
                seq=written.seq,
                entry=written.hash,
            )
        )
        if found:
            connection.execute(tables.snapshot_member.insert(), [_member(event, m) for m in found])
    return Snapshot(dataset, uri, number, event.rows, found, event.digest, written.seq)


def find_snapshot(connection: Connection, uri: str, dataset: str, version: int) -> Snapshot | None:
    """A snapshot that is on record."""
    query = sa.select(tables.snapshot).where(
        tables.snapshot.c.dataset == dataset, tables.snapshot.c.version == version
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    inside = (
        sa.select(tables.snapshot_member.c.batch, tables.snapshot_member.c.rows)
        .where(
            tables.snapshot_member.c.dataset == dataset,
            tables.snapshot_member.c.version == version,
        )
        .order_by(tables.snapshot_member.c.batch)
    )
    found = sorted((Member(*pair) for pair in connection.execute(inside)), key=lambda m: m.batch)
    return Snapshot(dataset, uri, version, row.rows, found, row.digest, row.seq)


def _member(event: SnapshotTaken, member: Member) -> dict[str, Any]:
    return {
        "dataset": event.dataset,
        "version": event.version,
        "batch": member.batch,
        "rows": member.rows,
    }


def _refuse_strangers(connection: Connection, event: SnapshotTaken, uri: str) -> None:
    """A row that the gate never saw is the very thing that this software is there to prevent."""
    admission = tables.admission
    query = sa.select(admission.c.batch).where(admission.c.dataset == event.dataset).distinct()
    known = set(connection.scalars(query))
    strangers = [member for member in event.members if member.batch not in known]
    if strangers:
        rows = sum(member.rows for member in strangers)
        raise UsageError(
            f"version {event.version} of dataset {event.dataset!r} has {rows} rows that were "
            f"written around the gate (batch {strangers[0].batch!r}): restore an earlier version "
            f"of {uri}"
        )
