"""Snapshot: name a version of the admitted dataset for a training, with what it really contains."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pyarrow as pa
import sqlalchemy as sa

from lazaretto.dataset.damage import damage_on_record
from lazaretto.dataset.delta import arrow_schema, find_table
from lazaretto.dataset.files import dataset_path, dataset_uri, read_rows
from lazaretto.dataset.snapshots import (
    as_differences,
    members,
    newest_snapshot,
    read_snapshot,
    version_digest,
)
from lazaretto.dataset.state import changes
from lazaretto.dataset.table import open_dataset
from lazaretto.errors import ChangedStateError, NotFoundError
from lazaretto.ledger.events import SnapshotTaken
from lazaretto.ledger.state import record
from lazaretto.storage import tables
from lazaretto.storage.sidecars import read_schema
from lazaretto.storage.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.engine import Connection

    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import DataFile, Member


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A training view.

    Attributes:
        dataset: name of the admitted dataset.
        uri: of its Delta table.
        version: Delta version.
        rows: how many records.
        members: batches with the rows that they really have in this version.
        digest: sha256 (hex) of the version's columns and of its files, their bytes included.
        seq: ledger entry.
        files: the version's data files.
    """

    dataset: str
    uri: str
    version: int
    rows: int
    members: list[Member] = field(default_factory=list)
    digest: str = ""
    seq: int = 0
    files: list[DataFile] = field(default_factory=list)

    @property
    def _store(self) -> Store:
        return Store.at(self.uri.removesuffix(f"/{dataset_path(self.dataset)}"))

    @property
    def schema(self) -> pa.Schema:
        """Its columns.

        Raises:
            ChangedFileError: a data file is gone, or is not the one that is on record.
            NotFoundError: a version without records, whose table is gone.
        """
        if self.files:
            return read_schema(self._store, self.files[0].file)
        table = find_table(self.uri, self.version)
        if table is None:
            raise NotFoundError(f"no table is at {self.uri} any more")
        return arrow_schema(table)

    def chunks(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Streams the records; every byte is checked before it is used.

        Args:
            columns: only these, in this order.

        Raises:
            ChangedFileError: a data file is gone, or is not the one that is on record.
        """
        return read_rows(self._store, self.files, columns=columns)

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Reads the records; ``sample_weight`` is the weight that reviewers gave. See `chunks`."""
        schema = self.schema
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in columns])
        return pa.Table.from_batches(self.chunks(columns), schema)


def snapshot(
    workspace: Workspace, dataset: str, *, version: int | None = None, read: bool = True
) -> Snapshot:
    """Freezes a version of the admitted dataset; the same version again gives the same snapshot.

    The table must list exactly the data files that admissions and recalls put on record. Every time
    a snapshot is asked for, their bytes are read and checked: about a second for 2 GB.

    Args:
        workspace: catalog and store.
        dataset: name of the admitted dataset.
        version: Delta version; default the newest.
        read: check the bytes of the data files; not needed by a caller who reads the records by
            `Snapshot.chunks` or `Snapshot.table`, which check them too.

    Raises:
        NotFoundError: no such dataset, or no such version of it.
        ChangedDatasetError: the table is not the one that is on record, or has rows that were
            written around the gate.
        ChangedFileError: a data file is gone, or is not the one that is on record.

    Examples:
        >>> view = snapshot(workspace, "reviews")
        >>> view.version, view.rows
        (2, 114)
    """
    with damage_on_record(workspace, dataset, "snapshot"):
        found = open_dataset(workspace, dataset, version)
    if read:
        with damage_on_record(workspace, dataset, "snapshot", found.files):
            for file in found.files:
                workspace.store.check(file.file)
    held = members(found.files)
    event = SnapshotTaken(
        dataset=dataset,
        version=found.version,
        rows=sum(file.rows for file in found.files),
        digest=version_digest(found.schema_digest, found.files),
        members=held,
        table_id=found.table_id,
        schema=found.schema_digest,
        files=found.files,
        batches=len(held),
    )
    with workspace.catalog.read() as connection:
        before = find_snapshot(connection, workspace, dataset, found.version)
        base = None if before else newest_snapshot(connection, dataset, found.version - 1)
    if before is None:
        short = as_differences(event, base)
        with workspace.catalog.transaction() as connection:
            before = find_snapshot(connection, workspace, dataset, found.version)
            if before is None:
                entry = record(connection, short, changes, actor=workspace.actor)
                return _snapshot(workspace, event, entry.seq)
    if before.digest != event.digest:
        key = f"{dataset}@{found.version}"
        raise ChangedStateError("snapshot", key, "its digest is not that of the version's files")
    return before


def find_snapshot(
    connection: Connection, workspace: Workspace, dataset: str, version: int
) -> Snapshot | None:
    """A snapshot that is on record; what is read from it is checked while it is read.

    Raises:
        ChangedStateError: its row in the catalog does not say what the ledger says.
    """
    query = sa.select(tables.snapshot).where(
        tables.snapshot.c.dataset == dataset, tables.snapshot.c.version == version
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    whole = read_snapshot(connection, row)
    files = whole.in_order
    event = replace(whole.event, files=files, members=members(files))
    return _snapshot(workspace, event, whole.seq)


def _snapshot(workspace: Workspace, event: SnapshotTaken, seq: int) -> Snapshot:
    """A snapshot from an event that says all."""
    return Snapshot(
        event.dataset,
        dataset_uri(workspace, event.dataset),
        event.version,
        event.rows,
        event.members,
        event.digest,
        seq,
        event.files,
    )
