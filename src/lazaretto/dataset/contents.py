"""What a version of the admitted dataset really contains, and which models were trained on it."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from lazaretto.dataset.delta import RECORD
from lazaretto.dataset.files import read_files
from lazaretto.dataset.models import ModelKey
from lazaretto.dataset.state import input_columns, model_key
from lazaretto.dataset.views import find_view, is_view, version_of
from lazaretto.errors import ChangedStateError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.cover import agree, event_of
from lazaretto.ledger.events import ModelRegistered, SnapshotTaken
from lazaretto.storage import tables
from lazaretto.values import InputKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.storage.store import Store
    from lazaretto.values import DataFile


class Trained(NamedTuple):
    """A model version, and a snapshot of the dataset that it learned from; it may have several."""

    model: ModelKey
    snapshot: str


def record_ids(
    store: Store, files: Iterable[DataFile], batches: Collection[str]
) -> Iterator[tuple[DataFile, pa.Array]]:
    """Record ids in the data files of some batches, row group by row group.

    Raises:
        ChangedFileError: a file is gone, or its bytes are others.
    """
    wanted = (file for file in files if file.batch in batches)
    for file, chunk in read_files(store, wanted, columns=[RECORD]):
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


def holding(
    store: Store, files: Iterable[DataFile], records: dict[str, pa.Array]
) -> frozenset[str]:
    """Keys of the data files, or stretches of one, that hold one of the records, by batch.

    Each file is read once, however many stretches of it are asked for, and only as far as needed.

    Raises:
        ChangedFileError: a file is gone, or its bytes are others.
    """
    found = set[str]()
    by_path = sorted(files, key=lambda one: (one.file.path, one.start or 0))
    for _, group in groupby(by_path, key=lambda one: one.file.path):
        waiting = {file.key: file for file in group}
        for file, ids in record_ids(store, list(waiting.values()), records):
            if file.key in waiting and pc.any(pc.is_in(ids, records[file.batch])).as_py():
                found.add(waiting.pop(file.key).key)
            if not waiting:
                break
    return frozenset(found)


def models_before(connection: Connection, dataset: str, before: int) -> list[Trained]:
    """Model versions that learned from a version below `before`, in the order of registration.

    What a model was only measured on did not reach its weights, and does not count.

    Raises:
        ChangedStateError: the catalog does not say what the ledger says.
    """
    table = tables.model_input
    query = (
        sa.select(table)
        .where(table.c.kind == InputKind.SNAPSHOT.value, table.c.name == dataset)
        .order_by(table.c.seq, table.c.input)
    )
    found = []
    for row in connection.execute(query).all():
        key = f"{row.model}@{row.version}"
        _, event = event_of(connection, table.name, key, row, ModelRegistered)
        learned = next((one for one in event.learned_from if one.key == row.input), None)
        if learned is None:
            raise ChangedStateError(table.name, key, f"entry {row.seq} names no such input")
        agree(table.name, key, row, model_key(event) | input_columns(learned))
        named = str(learned.version)
        if learned.role.weighs and version_of(named) < before:
            found.append(Trained(ModelKey(**model_key(event)), named))
    return found


def snapshot_files(
    connection: Connection, dataset: str, versions: Collection[str], batches: Collection[str]
) -> dict[str, list[DataFile]]:
    """Data files of some batches in each of the snapshots of some ids, views among them.

    Snapshots are read from the first to the last, each as what it changes in the one that it builds
    on, so that many take no longer than all their entries.

    Args:
        connection: of the catalog.
        dataset: its name.
        versions: ids of the snapshots.
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
            kept = {key: file for key, file in before.items() if file.file.path not in gone}
            mine = {file.key: file for file in event.files if file.batch in batches}
            found[event.version] = kept | mine
    named: dict[str, list[DataFile]] = {}
    for version in versions:
        files = found.get(version_of(version))
        left_out = _left_out(connection, dataset, version)
        if files is None or left_out is None:
            raise ChangedStateError("snapshot", f"{dataset}@{version}", "it is not there")
        named[version] = [file for file in files.values() if file.batch not in left_out]
    return named


def _left_out(connection: Connection, dataset: str, version: str) -> set[str] | None:
    """Batches of a version that a snapshot of it leaves out; None where the view is not there."""
    if not is_view(version):
        return set()
    taken = find_view(connection, dataset, version)
    return None if taken is None else set(taken[1].excluded)


def models_that_saw(
    store: Store,
    models: Iterable[Trained],
    files: dict[str, list[DataFile]],
    records: dict[str, pa.Array],
) -> list[ModelKey]:
    """Model versions that learned from a snapshot with one of these records in it, each once.

    Args:
        store: where the data files are.
        models: to choose from.
        files: data files of each snapshot that one of them learned from.
        records: record ids by batch.

    Raises:
        ChangedFileError: a file is gone, or its bytes are others.
    """
    every = {file.key: file for named in files.values() for file in named}
    asked = holding(store, every.values(), records)
    saw = {version: any(file.key in asked for file in named) for version, named in files.items()}
    return list(dict.fromkeys(one.model for one in models if saw[one.snapshot]))
