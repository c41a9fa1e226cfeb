"""What a version of the admitted dataset really contains, and which models were trained on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from lazaretto.dataset.delta import RECORD
from lazaretto.dataset.files import read_rows
from lazaretto.errors import ChangedStateError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.cover import agree, event_of
from lazaretto.ledger.events import ModelRegistered, SnapshotTaken
from lazaretto.storage import tables

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.storage.store import Store
    from lazaretto.values import DataFile


class Trained(NamedTuple):
    """A model version, and the version of the dataset that it was trained on."""

    model: str
    version: str
    snapshot: int


def record_ids(
    store: Store, files: Iterable[DataFile], batches: Collection[str]
) -> Iterator[tuple[DataFile, pa.Array]]:
    """Record ids in the data files of some batches, row group by row group.

    Raises:
        ChangedFileError: a file is gone, or its bytes are others.
    """
    for file in files:
        if file.batch in batches:
            for chunk in read_rows(store, [file], columns=[RECORD]):
                yield file, chunk.column(RECORD)


def by_batch(records: pa.Table) -> dict[str, pa.Array]:
    """Record ids of each batch, from columns ``batch`` and ``record``."""
    return {
        batch: records.filter(pc.equal(records["batch"], batch))["record"].combine_chunks()
        for batch in records["batch"].unique().to_pylist()
    }


def holds_any(store: Store, files: Iterable[DataFile], records: dict[str, pa.Array]) -> bool:
    """Whether data files hold one of the records, by batch.

    Raises:
        ChangedFileError: a file is gone, or its bytes are others.
    """
    return any(
        pc.any(pc.is_in(ids, records[file.batch])).as_py()
        for file, ids in record_ids(store, files, records)
    )


def models_before(connection: Connection, dataset: str, before: int) -> list[Trained]:
    """Model versions that were trained on a version below `before`, in the order of registration.

    Raises:
        ChangedStateError: the catalog does not say what the ledger says.
    """
    table = tables.model_version
    query = (
        sa.select(table)
        .where(table.c.dataset == dataset, table.c.snapshot < before)
        .order_by(table.c.seq)
    )
    found = []
    for row in connection.execute(query).all():
        key = f"{row.model}@{row.version}"
        _, event = event_of(connection, "model_version", key, row, ModelRegistered)
        names = ("model", "version", "dataset", "snapshot")
        agree("model_version", key, row, {name: getattr(event, name) for name in names})
        found.append(Trained(event.model, event.version, event.snapshot))
    return found


def snapshot_files(
    connection: Connection, dataset: str, versions: Collection[int], batches: Collection[str]
) -> dict[int, list[DataFile]]:
    """Data files of some batches in each of the versions that snapshots were taken of.

    Snapshots are read from the first to the last, each as what it changes in the one that it builds
    on, so that many take no longer than all their entries.

    Args:
        connection: of the catalog.
        dataset: its name.
        versions: of the snapshots.
        batches: whose files.

    Raises:
        ChangedStateError: one is not there, or the catalog does not say what the ledger says.
    """
    found: dict[int, dict[str, DataFile]] = {}
    kinds, subject = [SnapshotTaken.kind], f"dataset:{dataset}"
    for entry in entries(connection, kinds=kinds, subject=subject):
        event = entry.event
        if isinstance(event, SnapshotTaken):
            before = {} if event.since is None else found.get(event.since)
            if before is None:
                key = f"{dataset}@{event.version}"
                raise ChangedStateError("snapshot", key, f"it builds on {event.since}, not taken")
            gone = set(event.removed)
            kept = {path: file for path, file in before.items() if path not in gone}
            mine = {file.file.path: file for file in event.files if file.batch in batches}
            found[event.version] = kept | mine
    for version in versions:
        if version not in found:
            raise ChangedStateError("snapshot", f"{dataset}@{version}", "it is not there")
    return {version: list(found[version].values()) for version in versions}


def models_that_saw(
    store: Store,
    models: Iterable[Trained],
    files: dict[int, list[DataFile]],
    records: dict[str, pa.Array],
) -> list[Trained]:
    """Model versions that were trained on a version with one of these records in it.

    Args:
        store: where the data files are.
        models: to choose from.
        files: data files of each version that one of them was trained on.
        records: record ids by batch.

    Raises:
        ChangedFileError: a file is gone, or its bytes are others.
    """
    asked: dict[str, bool] = {}
    saw: dict[int, bool] = {}
    for version, named in files.items():
        for file in named:
            if file.file.path not in asked:
                asked[file.file.path] = holds_any(store, [file], records)
        saw[version] = any(asked[file.file.path] for file in named)
    return [trained for trained in models if saw[trained.snapshot]]
