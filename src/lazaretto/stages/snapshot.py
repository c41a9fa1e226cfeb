"""Snapshot: name a version of the admitted dataset for a training, with what it really contains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.dataset.damage import damage_on_record
from lazaretto.dataset.history import grown_columns
from lazaretto.dataset.pruned import require_kept
from lazaretto.dataset.snapshots import as_differences, members, newest_snapshot, version_digest
from lazaretto.dataset.state import changes
from lazaretto.dataset.table import open_dataset
from lazaretto.dataset.views import find_view, view_id
from lazaretto.errors import ChangedStateError, NotFoundError, UsageError
from lazaretto.ledger.events import SnapshotTaken, ViewTaken
from lazaretto.ledger.state import record
from lazaretto.stages.taken import Snapshot, as_snapshot, as_view, find_snapshot
from lazaretto.storage import tables
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Collection

    from lazaretto.dataset.table import DatasetVersion
    from lazaretto.storage.workspace import Workspace


def snapshot(
    workspace: Workspace,
    dataset: str,
    *,
    version: int | None = None,
    read: bool = True,
    exclude: Collection[str] = (),
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
        exclude: batches to leave out, such as a retraining does. The snapshot of the version is
            taken, and a view of it without those of them that it holds; where it holds none, the
            snapshot itself is given. The Delta table still has them: read the view by
            `Snapshot.chunks` or `Snapshot.table`.

    Raises:
        NotFoundError: no such dataset, no such version of it, or no such batch to leave out.
        UsageError: nothing would be left.
        ChangedDatasetError: the table is not the one that is on record, or has rows that were
            written around the gate.
        ChangedFileError: a data file is gone, or is not the one that is on record.

    Examples:
        >>> view = snapshot(workspace, "reviews")
        >>> view.version, view.rows
        (2, 114)
    """
    if exclude:
        _check_batches(workspace, exclude)
    with damage_on_record(workspace, dataset, "snapshot"):
        found = open_dataset(workspace, dataset, version)
    if read:
        with damage_on_record(workspace, dataset, "snapshot", found.files):
            for stored in dict.fromkeys(file.file for file in found.files):
                workspace.store.check(stored)
    taken = _taken(workspace, found)
    left_out = sorted({member.batch for member in taken.members} & set(exclude))
    return _view(workspace, taken, found.schema_digest, left_out) if left_out else taken


def _taken(workspace: Workspace, found: DatasetVersion) -> Snapshot:
    """The snapshot of a version, put on record where it was not taken yet."""
    dataset, held = found.dataset, members(found.files)
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
                require_kept(connection, dataset, found.version, found.files)
                entry = record(connection, short, changes, actor=workspace.actor)
                grown = grown_columns(connection, dataset, found.version)
                return as_snapshot(workspace, event, entry.seq, grown)
    if before.digest != event.digest:
        key = f"{dataset}@{found.version}"
        raise ChangedStateError("snapshot", key, "its digest is not that of the version's files")
    return before


def _view(workspace: Workspace, taken: Snapshot, schema: str, left_out: list[str]) -> Snapshot:
    """A snapshot without some of its batches, each of which has files or stretches of its own."""
    gone = set(left_out)
    files = [file for file in taken.files if file.batch not in gone]
    if not files:
        raise UsageError(
            f"nothing is left of {taken.dataset}@{taken.version} without these batches"
        )
    event = ViewTaken(
        dataset=taken.dataset,
        view=view_id(taken.version, left_out),
        version=taken.version,
        rows=sum(file.rows for file in files),
        digest=version_digest(schema, files),
        batches=len(members(files)),
        excluded=left_out,
    )
    with workspace.catalog.transaction() as connection:
        known = find_view(connection, taken.dataset, event.view)
        if known is None:
            entry = record(connection, event, changes, actor=workspace.actor)
            return as_view(taken, entry.seq, event)
    if known[1] != event:
        key = f"{taken.dataset}@{event.view}"
        raise ChangedStateError("training_view", key, "it is of other files or batches")
    return as_view(taken, known[0].seq, event)


def _check_batches(workspace: Workspace, named: Collection[str]) -> None:
    """A slip in an id would leave in what was to be left out.

    Raises:
        NotFoundError: a batch was never received.
    """
    known: set[str] = set()
    with workspace.catalog.read() as connection:
        names = sorted(set(named))
        for start in range(0, len(names), 500):
            some = names[start : start + 500]
            query = sa.select(tables.batch.c.id).where(tables.batch.c.id.in_(some))
            known |= set(connection.scalars(query))
    strange = sorted(set(named) - known)
    if strange:
        shown = ", ".join(excerpt(name, 120) for name in strange[:3])
        raise NotFoundError(
            f"{len(strange)} of the batches to leave out were never received: {shown}"
        )
