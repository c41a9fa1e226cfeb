"""What is wrong with the table of a dataset: found, said in words, and put on the ledger."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lazaretto.dataset.delta import contents_of, log_entry
from lazaretto.dataset.files import dataset_path
from lazaretto.dataset.history import version_files
from lazaretto.errors import ChangedDatasetError, ChangedFileError
from lazaretto.ledger.chain import append
from lazaretto.ledger.events import DatasetChanged, StoredFileChanged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from deltalake import DeltaTable

    from lazaretto.dataset.recorded import Recorded
    from lazaretto.ledger.events import Event
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import DataFile


@contextmanager
def damage_on_record(
    workspace: Workspace, dataset: str, stage: str, files: Sequence[DataFile] = ()
) -> Iterator[None]:
    """Puts what was found changed in a dataset on the ledger before the error goes on.

    Args:
        workspace: catalog and store.
        dataset: its name.
        stage: what is done with it.
        files: data files that are read, to tell whose rows a changed one holds.
    """
    try:
        yield
    except ChangedFileError as error:
        if not error.path.startswith((f"{dataset_path(dataset)}/", "recalls/")):
            raise
        whose = {file.batch for file in files if file.file.path == error.path}
        event: Event = DatasetChanged(dataset, stage, f"{error.path}: {error.found}")
        if len(whose) == 1:
            (batch,) = whose
            event = StoredFileChanged(batch, stage, error.path, error.expected, error.found)
        with workspace.catalog.transaction() as connection:
            append(connection, event, actor=workspace.actor)
        raise
    except ChangedDatasetError as error:
        event = DatasetChanged(dataset, stage, error.problem)
        with workspace.catalog.transaction() as connection:
            append(connection, event, actor=workspace.actor)
        raise


def difference(table: DeltaTable, files: Sequence[DataFile]) -> str | None:
    """What the log says of a version, against what is on record; None where they agree."""
    there = contents_of(table)
    recorded: dict[str, DataFile] = {}
    rows = Counter[str]()
    for file in files:
        name = file.file.path.rsplit("/", 1)[-1]
        recorded[name] = file
        rows[name] += file.rows
    if extra := sorted(there.files.keys() - recorded.keys()):
        beside = sum(there.files[name][1] or 0 for name in extra)
        return (
            f"{beside} rows were written around the gate: data file {extra[0][:200]!r} "
            f"({len(extra)} in all) is on no record"
        )
    for name, file in recorded.items():
        if name not in there.files:
            return f"data file {file.file.path} of {file.batch} is not in its log"
        if there.files[name] != (file.file.size, rows[name]):
            return f"data file {file.file.path} has another size or number of rows in its log"
    return there.problem


def lost(
    workspace: Workspace, dataset: str, recorded: Recorded, version: int | None = None
) -> ChangedDatasetError:
    """The error for a table that is gone, or that ends at a version before the last one."""
    where = f"{dataset_path(dataset)} in the store {workspace.store.root}"
    there = f"{where} holds no table" if version is None else f"it ends at version {version}"
    return ChangedDatasetError(
        dataset,
        f"{there}, version {recorded.event.version} is on record",
        f"{restore(dataset)}, or open the store that it belongs to",
    )


def foreign(
    workspace: Workspace, dataset: str, table: DeltaTable, recorded: Recorded | None
) -> ChangedDatasetError:
    """The error for a table with versions that are on no record."""
    version = 0 if recorded is None else recorded.event.version
    with workspace.catalog.read() as connection:
        files = version_files(connection, dataset, version) if recorded is not None else []
    what = difference(table, files) or "nothing of it is in another place"
    return ChangedDatasetError(
        dataset,
        f"it has version {table.version()}, the newest on record is {version}; there {what}",
        "Somebody wrote to it around the gate, or the catalog was restored from an older copy: "
        "restore what is older, or see what `lazaretto catalog reconcile` would do with "
        f"{dataset_path(dataset)}/{log_entry(version + 1)} and what follows it",
    )


def restore(dataset: str) -> str:
    """What a person has to do about it."""
    path = dataset_path(dataset)
    return f"Restore {path} from a backup, or see what `lazaretto catalog reconcile` would do"
