"""A dataset opened for use: its Delta table must be what the ledger says, or nothing is used of it.

A version is put on record before it is committed to the table, so that the ledger is the log which
the table follows. Killed in between, whoever opens the dataset next makes the commit, from the
ledger entry alone. A table that lacks more than that, or has more, is refused.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.dataset.delta import (
    Commit,
    LogUnreadableError,
    add_commit,
    arrow_schema,
    contents_of,
    find_table,
    log_entry,
    schema_digest,
)
from lazaretto.dataset.files import dataset_path, dataset_uri
from lazaretto.dataset.history import Recorded, find_newest, version_files
from lazaretto.errors import (
    ChangedDatasetError,
    ChangedFileError,
    LazarettoError,
    NotFoundError,
    SystemFaultError,
)
from lazaretto.ledger.chain import append
from lazaretto.ledger.events import BatchAdmitted, DatasetChanged, StoredFileChanged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from deltalake import DeltaTable

    from lazaretto.ledger.events import Event
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import DataFile

_ATTEMPTS = 200
_LOG_LIMIT = 256 * 2**20


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
    for _ in range(_ATTEMPTS):
        # In this order: a version is on record before it is in the table.
        table = _find(workspace, dataset)
        with workspace.catalog.read() as connection:
            recorded = find_newest(connection, dataset)
        if recorded is None:
            if table is not None and (table.version() or contents_of(table).files):
                raise _foreign(workspace, dataset, table, None)
            return Newest(dataset, table, None)
        if table is None:
            table = _find(workspace, dataset)
        if table is None:
            raise _lost(workspace, dataset, recorded)
        _check_identity(dataset, table, recorded)
        if table.version() == recorded.event.version:
            return Newest(dataset, table, recorded)
        if table.version() > recorded.event.version:
            raise _foreign(workspace, dataset, table, recorded)
        if not finish and table.version() == recorded.event.version - 1:
            return Newest(dataset, table, recorded)
        _go_on(workspace, recorded)
    raise SystemFaultError(f"dataset {dataset!r} changed {_ATTEMPTS} times while it was opened")


def open_dataset(workspace: Workspace, dataset: str, version: int | None = None) -> DatasetVersion:
    """Opens a version of a dataset for reading; the newest by default.

    The table's list of data files must be the one that admissions and recalls put on record. Reads
    no data: `lazaretto.dataset.files.read_rows` checks bytes while it reads them.

    Raises:
        NotFoundError: no such dataset, or no such version of it.
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
        older = _find(workspace, dataset, number)
        if older is None:
            raise _lost(workspace, dataset, newest.recorded)
        table = older
    _check_identity(dataset, table, newest.recorded)
    files = _files_agree(workspace, dataset, table)
    return DatasetVersion(
        dataset=dataset,
        uri=dataset_uri(workspace, dataset),
        version=number,
        table_id=str(table.metadata().id),
        schema=arrow_schema(table),
        schema_digest=schema_digest(table),
        files=files,
    )


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


def commit_recorded(workspace: Workspace, recorded: Recorded) -> None:
    """Makes the table's commit of a version that is on record, unless the table has it.

    Raises:
        ChangedDatasetError: somebody else's commit is in its place.
        SystemFaultError: the store cannot be written.
    """
    event, commit = recorded.event, _commit_of(recorded)
    for _ in range(_ATTEMPTS):
        table = _find(workspace, event.dataset)
        if table is None:
            raise _lost(workspace, event.dataset, recorded)
        if table.version() >= commit.version:
            if table.transaction_version(commit.app) is None:
                raise _foreign(workspace, event.dataset, table, recorded)
            return
        if table.version() < commit.version - 1:
            raise _lost(workspace, event.dataset, recorded, table.version())
        if add_commit(table, commit):
            return
    raise SystemFaultError(f"dataset {event.dataset!r} changed {_ATTEMPTS} times while written")


@contextmanager
def damage_on_record(
    workspace: Workspace, dataset: str, stage: str, files: Sequence[DataFile] = ()
) -> Iterator[None]:
    """Puts what was found changed in a dataset on the ledger before the error goes on.

    Args:
        workspace: catalog and store.
        dataset: its name.
        stage: what is done with it.
        files: data files that are read.
    """
    try:
        yield
    except ChangedFileError as error:
        whose = {file.file.path: file.batch for file in files}
        event: Event = DatasetChanged(dataset, stage, f"{error.path}: {error.found}")
        if (batch := whose.get(error.path)) is not None:
            event = StoredFileChanged(batch, stage, error.path, error.expected, error.found)
        with workspace.catalog.transaction() as connection:
            append(connection, event, actor=workspace.actor)
        raise
    except ChangedDatasetError as error:
        event = DatasetChanged(dataset, stage, error.problem)
        with workspace.catalog.transaction() as connection:
            append(connection, event, actor=workspace.actor)
        raise


def _find(workspace: Workspace, dataset: str, version: int | None = None) -> DeltaTable | None:
    try:
        return find_table(dataset_uri(workspace, dataset), version)
    except LogUnreadableError as error:
        where = _unreadable(workspace, dataset) or f"{dataset_path(dataset)}/_delta_log"
        problem = f"its log, {where}, cannot be read ({error})"
        raise ChangedDatasetError(dataset, problem, _restore(dataset)) from error


def _unreadable(workspace: Workspace, dataset: str) -> str | None:
    """The first commit in the log that is no JSON, for people who have to mend it."""
    for path in workspace.store.list(f"{dataset_path(dataset)}/_delta_log"):
        if path.endswith(".json"):
            try:
                for line in workspace.store.read_unverified(path, _LOG_LIMIT).splitlines():
                    json.loads(line)
            except (ValueError, LazarettoError):
                return path
    return None


def _check_identity(dataset: str, table: DeltaTable, recorded: Recorded) -> None:
    event, identity = recorded.event, str(table.metadata().id)
    problem = None
    if identity != event.table_id:
        problem = f"its id is {identity}, version {event.version} was of {event.table_id}"
    elif schema_digest(table) != event.schema:
        problem = "its columns are others"
    if problem is not None:
        raise ChangedDatasetError(dataset, problem, _restore(dataset))


def _files_agree(workspace: Workspace, dataset: str, table: DeltaTable) -> list[DataFile]:
    """The data files of a table's version, where its log and the ledger name the same ones."""
    with workspace.catalog.read() as connection:
        files = version_files(connection, dataset, table.version())
    problem = _difference(table, files)
    if problem is not None:
        where = f"in version {table.version()} {problem}"
        raise ChangedDatasetError(dataset, where, _restore(dataset))
    return files


def _difference(table: DeltaTable, files: Sequence[DataFile]) -> str | None:
    """What the log says of a version, against what is on record; None where they agree."""
    there = contents_of(table)
    recorded = {file.file.path.rsplit("/", 1)[-1]: file for file in files}
    if extra := sorted(there.files.keys() - recorded.keys()):
        rows = sum(there.files[name][1] or 0 for name in extra)
        return (
            f"{rows} rows were written around the gate: data file {extra[0]} "
            f"({len(extra)} in all) is on no record"
        )
    for name, file in recorded.items():
        if name not in there.files:
            return f"data file {file.file.path} of {file.batch} is not in its log"
        if there.files[name] != (file.file.size, file.rows):
            return f"data file {file.file.path} has another size or number of rows in its log"
    return there.problem


def _go_on(workspace: Workspace, recorded: Recorded) -> None:
    """Makes the newest version's commit, where its files are there and nothing else is missing."""
    event = recorded.event
    for file in event.files:
        try:
            workspace.store.open(file.file).close()
        except ChangedFileError as error:
            problem = f"version {event.version} is not in its log, and {error.path}: {error.found}"
            raise ChangedDatasetError(event.dataset, problem, _restore(event.dataset)) from error
    commit_recorded(workspace, recorded)


def _commit_of(recorded: Recorded) -> Commit:
    event = recorded.event
    about = {"lazaretto_seq": str(recorded.entry.seq), "lazaretto_entry": recorded.entry.hash}
    removed: Sequence[str] = ()
    if isinstance(event, BatchAdmitted):
        app = f"lazaretto:{event.batch}:{event.part}"
        about |= {
            "lazaretto_batch": event.batch,
            "lazaretto_source": event.batch.rsplit("/", 2)[0],
            "lazaretto_policy": event.policy.sha256,
            "lazaretto_part": event.part,
        }
    else:
        app, removed = f"lazaretto:{event.recall}", event.removed
        about |= {"lazaretto_recall": event.recall, "lazaretto_reason": event.reason}
    return Commit(event.version, app, about, recorded.entry.at, event.files, removed)


def _lost(
    workspace: Workspace, dataset: str, recorded: Recorded, version: int | None = None
) -> ChangedDatasetError:
    where = f"{dataset_path(dataset)} in the store {workspace.store.root}"
    there = f"{where} holds no table" if version is None else f"it ends at version {version}"
    return ChangedDatasetError(
        dataset,
        f"{there}, version {recorded.event.version} is on record",
        f"{_restore(dataset)}, or open the store that it belongs to",
    )


def _foreign(
    workspace: Workspace, dataset: str, table: DeltaTable, recorded: Recorded | None
) -> ChangedDatasetError:
    version = 0 if recorded is None else recorded.event.version
    with workspace.catalog.read() as connection:
        files = version_files(connection, dataset, version) if recorded is not None else []
    what = _difference(table, files) or "nothing of it is in another place"
    first = f"{dataset_path(dataset)}/{log_entry(version + 1)}"
    return ChangedDatasetError(
        dataset,
        f"it has version {table.version()}, the newest on record is {version}; there {what}",
        "Somebody wrote to it around the gate, or the catalog was restored from an older copy: "
        f"restore what is older, or remove {first} and what follows it",
    )


def _restore(dataset: str) -> str:
    return f"Restore {dataset_path(dataset)} from a backup"
