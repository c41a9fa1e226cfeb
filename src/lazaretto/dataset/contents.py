"""What a version of the admitted dataset really contains, and which models were trained on it."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import rfc8785
import sqlalchemy as sa

from lazaretto.dataset.delta import RECORD
from lazaretto.dataset.files import read_rows
from lazaretto.dataset.history import read_snapshot
from lazaretto.errors import ChangedStateError
from lazaretto.ledger.cover import agree, event_of
from lazaretto.ledger.events import ModelRegistered
from lazaretto.storage import tables
from lazaretto.values import Member

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.dataset.table import DatasetVersion
    from lazaretto.storage.store import Store
    from lazaretto.values import DataFile


class Trained(NamedTuple):
    """A model version, and the version of the dataset that it was trained on."""

    model: str
    version: str
    snapshot: int


def members(files: Iterable[DataFile]) -> list[Member]:
    """Batches with their rows, by id."""
    rows: Counter[str] = Counter()
    for file in files:
        rows[file.batch] += file.rows
    return [Member(batch, count) for batch, count in sorted(rows.items())]


def version_digest(version: DatasetVersion) -> str:
    """sha256 (hex) of a version: RFC 8785 of its columns and path, size, sha256 of its files."""
    named = [(one.file.path, one.file.size, one.file.sha256) for one in version.files]
    body = {"schema": version.schema_digest, "files": [list(file) for file in sorted(named)]}
    return hashlib.sha256(rfc8785.dumps(body)).hexdigest()  # type: ignore[arg-type]


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


def snapshot_files(connection: Connection, dataset: str, version: int) -> list[DataFile]:
    """Data files of a version that a snapshot was taken of.

    Raises:
        ChangedStateError: there is none, or the catalog does not say what the ledger says.
    """
    table = tables.snapshot
    query = sa.select(table).where(table.c.dataset == dataset, table.c.version == version)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise ChangedStateError("snapshot", f"{dataset}@{version}", "it is not there")
    return read_snapshot(connection, row)[1].files


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
    saw = {version: holds_any(store, named, records) for version, named in files.items()}
    return [trained for trained in models if saw[trained.snapshot]]
