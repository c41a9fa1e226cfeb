"""Commits of a dataset's table: each follows from a ledger entry, and is made once."""

from __future__ import annotations

import json
from bisect import bisect_left
from typing import TYPE_CHECKING

from lazaretto.dataset.damage import foreign, lost, restore
from lazaretto.dataset.delta import Commit, LogUnreadableError, add_commit, find_table, log_entry
from lazaretto.dataset.files import dataset_path, dataset_uri
from lazaretto.errors import (
    ChangedDatasetError,
    ChangedFileError,
    SystemFaultError,
)
from lazaretto.ledger.events import BatchAdmitted, DatasetCompacted, DatasetGrown, RowsLost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deltalake import DeltaTable

    from lazaretto.dataset.recorded import Recorded
    from lazaretto.storage.workspace import Workspace

ATTEMPTS = 200
"""How often others may be faster before somebody gives up; each time, one of them got on."""


def find_dataset(
    workspace: Workspace, dataset: str, version: int | None = None
) -> DeltaTable | None:
    """The Delta table of a dataset as it lies in the store; None where there is none.

    Raises:
        ChangedDatasetError: its log cannot be read.
        SystemFaultError: the store cannot be reached.
    """
    try:
        return find_table(dataset_uri(workspace, dataset), version)
    except LogUnreadableError as error:
        where = f"{dataset_path(dataset)}/{_unreadable(workspace, dataset)}"
        problem = f"its log, {where}, cannot be read ({error})"
        raise ChangedDatasetError(dataset, problem, restore(dataset)) from error


def _unreadable(workspace: Workspace, dataset: str) -> str:
    """The first commit in the log that makes no sense, for people who have to mend it."""
    uri = dataset_uri(workspace, dataset)
    names = workspace.store.list(dataset_path(dataset))
    commits = sum("/_delta_log/" in name and name.endswith(".json") for name in names)

    def broken(version: int) -> bool:
        try:
            return find_table(uri, version) is None
        except LogUnreadableError:
            return True

    return log_entry(bisect_left(range(commits), True, key=broken))


def commit_recorded(
    workspace: Workspace, recorded: Recorded, table: DeltaTable | None = None
) -> None:
    """Makes the table's commit of a version that is on record, unless the table has it.

    Args:
        workspace: catalog and store.
        recorded: the version.
        table: the dataset's table, where it was opened at the version before.

    Raises:
        ChangedDatasetError: somebody else's commit is in its place.
        SystemFaultError: the store cannot be written.
    """
    event, commit = recorded.event, _commit_of(recorded)
    for _ in range(ATTEMPTS):
        table = table or find_dataset(workspace, event.dataset)
        if table is None:
            raise lost(workspace, event.dataset, recorded)
        if table.version() >= commit.version:
            if any(table.transaction_version(app) is None for app in commit.apps):
                raise foreign(workspace, event.dataset, table, recorded)
            return
        if table.version() < commit.version - 1:
            raise lost(workspace, event.dataset, recorded, table.version())
        if add_commit(table, commit):
            return
        table = None  # somebody was faster: what is there now decides
    raise SystemFaultError(f"dataset {event.dataset!r} changed {ATTEMPTS} times while written")


def require_files(workspace: Workspace, recorded: Recorded) -> None:
    """Looks whether the files of a version that the table lacks are there, so that it can be made.

    Raises:
        ChangedDatasetError: one is not: it is not the commit alone that is missing.
    """
    event = recorded.event
    for file in {one.file.path: one.file for one in recorded.files}.values():
        try:
            workspace.store.open(file).close()
        except ChangedFileError as error:
            problem = f"version {event.version} is not in its log, and {error.path}: {error.found}"
            raise ChangedDatasetError(event.dataset, problem, restore(event.dataset)) from error


def _commit_of(recorded: Recorded) -> Commit:
    event = recorded.event
    about = {"lazaretto_seq": str(recorded.entry.seq), "lazaretto_entry": recorded.entry.hash}
    removed: Sequence[str] = ()
    if isinstance(event, BatchAdmitted):
        return _admission(recorded, about)
    if isinstance(event, DatasetGrown):
        app, removed = f"lazaretto:grown-{event.version}", event.removed
        about |= {"lazaretto_needed_by": event.needed_by, "lazaretto_policy": event.policy.sha256}
    elif isinstance(event, DatasetCompacted):
        app, removed = f"lazaretto:compacted-{event.version}", event.removed
    elif isinstance(event, RowsLost):
        app, removed = f"lazaretto:lost-{event.version}", event.removed
    else:
        app, removed = f"lazaretto:{event.recall}", event.removed
        about |= {"lazaretto_recall": event.recall, "lazaretto_reason": event.reason}
    columns = event.columns if isinstance(event, DatasetGrown) else None
    same = isinstance(event, DatasetCompacted)
    moment, added = recorded.entry.at, recorded.files
    return Commit(event.version, (app,), about, moment, added, removed, columns, same)


def _admission(recorded: Recorded, about: dict[str, str]) -> Commit:
    """The commit with which batches enter; what is said of several is one JSON list each."""
    events = recorded.admitted
    said = {
        "lazaretto_batch": [event.batch for event in events],
        "lazaretto_source": [event.batch.rsplit("/", 1)[0] for event in events],
        "lazaretto_policy": [event.policy.sha256 for event in events],
        "lazaretto_part": [event.part for event in events],
    }
    about |= {
        name: values[0] if len(values) == 1 else json.dumps(values) for name, values in said.items()
    }
    apps = tuple(f"lazaretto:{event.batch}:{event.part}" for event in events)
    version, moment = recorded.event.version, recorded.entry.at
    return Commit(version, apps, about, moment, recorded.files, ())
