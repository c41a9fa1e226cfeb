"""Commits of a dataset's table: each follows from a ledger entry, and is made once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lazaretto.dataset.damage import foreign, lost, restore
from lazaretto.dataset.delta import Commit, LogUnreadableError, add_commit, find_table
from lazaretto.dataset.files import dataset_path, dataset_uri
from lazaretto.errors import (
    ChangedDatasetError,
    ChangedFileError,
    LazarettoError,
    SystemFaultError,
)
from lazaretto.ledger.events import BatchAdmitted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deltalake import DeltaTable

    from lazaretto.dataset.history import Recorded
    from lazaretto.storage.workspace import Workspace

ATTEMPTS = 200
"""How often others may be faster before somebody gives up; each time, one of them got on."""
_LOG_LIMIT = 256 * 2**20


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
        where = _unreadable(workspace, dataset) or f"{dataset_path(dataset)}/_delta_log"
        problem = f"its log, {where}, cannot be read ({error})"
        raise ChangedDatasetError(dataset, problem, restore(dataset)) from error


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


def commit_recorded(workspace: Workspace, recorded: Recorded) -> None:
    """Makes the table's commit of a version that is on record, unless the table has it.

    Raises:
        ChangedDatasetError: somebody else's commit is in its place.
        SystemFaultError: the store cannot be written.
    """
    event, commit = recorded.event, _commit_of(recorded)
    for _ in range(ATTEMPTS):
        table = find_dataset(workspace, event.dataset)
        if table is None:
            raise lost(workspace, event.dataset, recorded)
        if table.version() >= commit.version:
            if table.transaction_version(commit.app) is None:
                raise foreign(workspace, event.dataset, table, recorded)
            return
        if table.version() < commit.version - 1:
            raise lost(workspace, event.dataset, recorded, table.version())
        if add_commit(table, commit):
            return
    raise SystemFaultError(f"dataset {event.dataset!r} changed {ATTEMPTS} times while written")


def finish_commit(workspace: Workspace, recorded: Recorded) -> None:
    """Makes the newest version's commit, where its files are there and nothing else is missing."""
    event = recorded.event
    for file in event.files:
        try:
            workspace.store.open(file.file).close()
        except ChangedFileError as error:
            problem = f"version {event.version} is not in its log, and {error.path}: {error.found}"
            raise ChangedDatasetError(event.dataset, problem, restore(event.dataset)) from error
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
