"""A dataset opened for use: its Delta table must be what the ledger says, or nothing is used of it.

A version is put on record before it is committed to the table, so that the ledger is the log which
the table follows. Killed in between, whoever opens the dataset next makes the commit, from the
ledger entry alone. A table that lacks more than that, or has more, is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.dataset.commit import ATTEMPTS, commit_recorded, find_dataset, require_files
from lazaretto.dataset.damage import difference, foreign, lost, restore
from lazaretto.dataset.delta import arrow_schema, contents_of, schema_digest
from lazaretto.dataset.files import dataset_uri
from lazaretto.dataset.history import find_newest, schema_of, version_files
from lazaretto.dataset.pruned import require_kept
from lazaretto.errors import ChangedDatasetError, NotFoundError, SystemFaultError
from lazaretto.storage import tables

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable
    from sqlalchemy.engine import Connection

    from lazaretto.dataset.recorded import Recorded
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import DataFile


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest version of a dataset, on record and in its table: where the next one starts.

    Attributes:
        dataset: its name.
        table: its Delta table at that version; None while there is none.
        recorded: what is on record of it; None while nothing was admitted.
    """

    dataset: str
    table: DeltaTable | None
    recorded: Recorded | None

    @property
    def version(self) -> int:
        """Its number; 0 while nothing was admitted."""
        return 0 if self.recorded is None else self.recorded.event.version


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """A version of a dataset whose table agrees with the ledger.

    Attributes:
        dataset: its name.
        uri: of its Delta table.
        version: Delta version.
        table_id: of the Delta table.
        schema: its columns.
        schema_digest: sha256 (hex) of them, in Delta's notation.
        files: its data files, by path. Their bytes are checked when they are read.
    """

    dataset: str
    uri: str
    version: int
    table_id: str
    schema: pa.Schema
    schema_digest: str
    files: list[DataFile]


def open_newest(workspace: Workspace, dataset: str, *, finish: bool = True) -> Newest:
    """Opens a dataset to add a version to it; finishes the last one where it was cut off.

    Args:
        workspace: catalog and store.
        dataset: its name.
        finish: make the table's commit of a version that was cut off behind its record; otherwise
            the table is given as it is, one version behind.

    Raises:
        ChangedDatasetError: the table is not the one that is on record.
        ChangedStateError: the catalog does not say what the ledger says.
        SystemFaultError: store or catalog cannot be used.
    """
    for _ in range(ATTEMPTS):
        # In this order: a version is on record before it is in the table.
        table = find_dataset(workspace, dataset)
        with workspace.catalog.read() as connection:
            recorded = find_newest(connection, dataset)
        if recorded is None:
            if table is not None and not is_newest(dataset, table, None):
                raise foreign(workspace, dataset, table, None)
            return Newest(dataset, table, None)
        if table is None:
            table = find_dataset(workspace, dataset)
        if table is None:
            raise lost(workspace, dataset, recorded)
        if is_newest(dataset, table, recorded):
            return Newest(dataset, table, recorded)
        if table.version() > recorded.event.version:
            raise foreign(workspace, dataset, table, recorded)
        if not finish and table.version() == recorded.event.version - 1:
            return Newest(dataset, table, recorded)
        require_files(workspace, recorded)
        commit_recorded(workspace, recorded)
    raise SystemFaultError(f"dataset {dataset!r} changed {ATTEMPTS} times while it was opened")


def open_dataset(workspace: Workspace, dataset: str, version: int | None = None) -> DatasetVersion:
    """Opens a version of a dataset for reading; the newest by default.

    The table's list of data files must be the one that admissions and recalls put on record. Reads
    no data: `lazaretto.dataset.files.read_rows` checks bytes while it reads them.

    Raises:
        NotFoundError: no such dataset, no such version of it, or retention deleted files of it.
        ChangedDatasetError: the table is not the one that is on record.
        ChangedStateError: the catalog does not say what the ledger says.
        SystemFaultError: store or catalog cannot be used.
    """
    newest = open_newest(workspace, dataset)
    if newest.recorded is None or newest.table is None:
        raise NotFoundError(f"no dataset {dataset!r}: nothing was admitted to it yet")
    number = newest.version if version is None else version
    if not 0 <= number <= newest.version:
        raise NotFoundError(
            f"dataset {dataset!r} has no version {number}: the newest is {newest.version}"
        )
    table = newest.table
    if number != newest.version:
        older = find_dataset(workspace, dataset, number)
        if older is None:
            raise lost(workspace, dataset, newest.recorded)
        table = older
    with workspace.catalog.read() as connection:
        columns = schema_of(connection, dataset, number)
    _check_identity(dataset, table, newest.recorded, columns)
    files = _files_agree(workspace, dataset, table)
    if number != newest.version:
        with workspace.catalog.read() as connection:
            require_kept(connection, dataset, number, files)
    return DatasetVersion(
        dataset=dataset,
        uri=dataset_uri(workspace, dataset),
        version=number,
        table_id=str(table.metadata().id),
        schema=arrow_schema(table),
        schema_digest=schema_digest(table),
        files=files,
    )


def is_newest(dataset: str, table: DeltaTable, recorded: Recorded | None) -> bool:
    """Whether a table is at the newest version that is on record, so that the next may be made.

    Raises:
        ChangedDatasetError: it is another table.
    """
    if recorded is None:
        return table.version() == 0 and not contents_of(table).files
    # What is behind may have fewer columns: whoever is behind opens it again.
    is_behind = table.version() < recorded.event.version
    _check_identity(dataset, table, recorded, schema_digest(table) if is_behind else None)
    return bool(table.version() == recorded.event.version)


def is_behind(connection: Connection, dataset: str, table: DeltaTable) -> bool:
    """Whether others were faster, by one statement: where many admit, that is what is found.

    Nothing is to be concluded from it but that the dataset is opened again.
    """
    query = sa.select(tables.dataset.c.version).where(tables.dataset.c.name == dataset)
    version = connection.scalar(query)
    return version is not None and version > table.version()


def check_dataset(workspace: Workspace, dataset: str) -> None:
    """Compares a dataset's table with what is on record of it; changes nothing, reads no data.

    A version that is on record and not yet in the table is no damage: whoever opens the dataset
    next commits it.

    Raises:
        ChangedDatasetError: the table is not the one that is on record.
        ChangedStateError: the catalog does not say what the ledger says.
    """
    newest = open_newest(workspace, dataset, finish=False)
    if newest.table is not None and newest.recorded is not None:
        _files_agree(workspace, dataset, newest.table)
        if newest.table.version() < newest.version:
            require_files(workspace, newest.recorded)


def _check_identity(
    dataset: str, table: DeltaTable, recorded: Recorded, columns: str | None = None
) -> None:
    """It is the table of that record, with its columns, or with those of the version that it is at.

    Raises:
        ChangedDatasetError: it is not.
    """
    event, identity = recorded.event, str(table.metadata().id)
    problem = None
    if identity != event.table_id:
        problem = f"its id is {identity[:64]!r}, version {event.version} was of {event.table_id}"
    elif schema_digest(table) != (columns or event.schema):
        problem = "its columns are others"
    if problem is not None:
        raise ChangedDatasetError(dataset, problem, restore(dataset))


def _files_agree(workspace: Workspace, dataset: str, table: DeltaTable) -> list[DataFile]:
    """The data files of a table's version, where its log and the ledger name the same ones."""
    with workspace.catalog.read() as connection:
        files = version_files(connection, dataset, table.version())
    problem = difference(table, files)
    if problem is not None:
        where = f"in version {table.version()} {problem}"
        raise ChangedDatasetError(dataset, where, restore(dataset))
    return files
