"""Snapshots that were taken: found by their ids, and read, every byte of them checked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pyarrow as pa
import sqlalchemy as sa

from lazaretto.dataset.delta import arrow_schema, find_table, read_columns
from lazaretto.dataset.files import dataset_path, dataset_uri, read_rows
from lazaretto.dataset.history import grown_columns
from lazaretto.dataset.snapshots import members, read_snapshot
from lazaretto.dataset.views import find_view, is_view, version_of
from lazaretto.errors import NotFoundError
from lazaretto.storage import tables
from lazaretto.storage.sidecars import read_schema
from lazaretto.storage.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.events import SnapshotTaken, ViewTaken
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
        excluded: batches of the version that were left out.
        view: id of the view, where batches were left out.
        grown: its columns in Delta's notation, where they are not those of the first version.
    """

    dataset: str
    uri: str
    version: int
    rows: int
    members: list[Member] = field(default_factory=list)
    digest: str = ""
    seq: int = 0
    files: list[DataFile] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    view: str | None = None
    grown: str | None = None

    @property
    def id(self) -> str:
        """By which a model that learned from it names it: its version, or the id of the view."""
        return self.view or str(self.version)

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
        if self.grown is not None:
            return read_columns(self.grown)
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
        schema = None if self.grown is None else self.schema
        return read_rows(self._store, self.files, columns=columns, schema=schema)

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Reads the records; ``sample_weight`` is the weight that reviewers gave. See `chunks`."""
        schema = self.schema
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in columns])
        return pa.Table.from_batches(self.chunks(columns), schema)


def open_snapshot(workspace: Workspace, dataset: str, identity: str) -> Snapshot:
    """A snapshot that was taken, or a view of one, to read it in a training.

    Args:
        workspace: catalog and store.
        dataset: name of the admitted dataset.
        identity: its version, or the id of a view, as `Snapshot.id` has it.

    Raises:
        NotFoundError: it was not taken.
        UsageError: it is no id of a snapshot.

    Examples:
        >>> open_snapshot(workspace, "reviews", "2").table().num_rows
        114
    """
    with workspace.catalog.read() as connection:
        taken = find_named(connection, workspace, dataset, identity)
    if taken is None:
        raise NotFoundError(
            f"no snapshot {identity} of dataset {dataset!r} was taken: take it by `lazaretto "
            "dataset snapshot` before training"
        )
    return taken


def find_named(
    connection: Connection, workspace: Workspace, dataset: str, identity: str
) -> Snapshot | None:
    """A snapshot, or a view of one, by its id; None where it was not taken.

    Raises:
        ChangedStateError: its row in the catalog does not say what the ledger says.
        UsageError: it is no id of a snapshot.
    """
    taken = find_snapshot(connection, workspace, dataset, version_of(identity))
    if taken is None or not is_view(identity):
        return taken
    known = find_view(connection, dataset, identity)
    return None if known is None else as_view(taken, known[0].seq, known[1])


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
    return as_snapshot(workspace, event, whole.seq, grown_columns(connection, dataset, version))


def as_snapshot(
    workspace: Workspace, event: SnapshotTaken, seq: int, grown: str | None
) -> Snapshot:
    """A snapshot from an event that says all, and the columns that its version has got."""
    return Snapshot(
        event.dataset,
        dataset_uri(workspace, event.dataset),
        event.version,
        event.rows,
        event.members,
        event.digest,
        seq,
        event.files,
        grown=grown,
    )


def as_view(taken: Snapshot, seq: int, event: ViewTaken) -> Snapshot:
    """The snapshot that a view is of, without what it leaves out."""
    left_out = set(event.excluded)
    return replace(
        taken,
        rows=event.rows,
        members=[member for member in taken.members if member.batch not in left_out],
        digest=event.digest,
        seq=seq,
        files=[file for file in taken.files if file.batch not in left_out],
        excluded=list(event.excluded),
        view=event.view,
    )
