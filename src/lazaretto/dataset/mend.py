"""A dataset's table made what the ledger says: what is on no record leaves its log, and is kept.

The ledger is the log that the table follows, so a table can be made anew from it, version by
version, as long as the data files are there. Nothing is ever taken from the table into the ledger.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

import fsspec

from lazaretto.dataset.commit import commit_recorded
from lazaretto.dataset.delta import (
    FLAGS,
    LOG,
    as_kept,
    create_table,
    find_table,
    log_entry,
    schema_digest,
)
from lazaretto.dataset.files import dataset_path, dataset_uri
from lazaretto.dataset.history import find_newest, version_files, versions_between
from lazaretto.dataset.part import with_added
from lazaretto.dataset.recorded import Recorded
from lazaretto.dataset.schema import storable
from lazaretto.dataset.state import changes
from lazaretto.errors import (
    ChangedDatasetError,
    ChangedFileError,
    DeletedPayloadError,
    SystemFaultError,
)
from lazaretto.folders import working_folder
from lazaretto.ledger.chain import append
from lazaretto.ledger.events import DatasetSetBack, RowsLost
from lazaretto.ledger.state import record
from lazaretto.received import load_batch, open_stored
from lazaretto.storage.sidecars import read_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa
    from sqlalchemy.engine import Connection

    from lazaretto.dataset.compare import Disagreement
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import StoredFile

_CHUNK = 2**20


def set_back(workspace: Workspace, plan: Disagreement) -> int | None:
    """Takes out of the table's log what is on no record, and keeps it as evidence.

    It goes on record first. Killed behind that, the same again goes on.

    Returns:
        The ledger entry; None where there was nothing to take out.

    Raises:
        SystemFaultError: the dataset changed meanwhile, or catalog or store cannot be used.
    """
    if not plan.set_aside:
        return None
    kept = {name: _keep(workspace, plan.dataset, name) for name in plan.set_aside}
    event = DatasetSetBack(
        dataset=plan.dataset,
        version=plan.agreed,
        found=plan.found,
        problem=plan.problem or "",
        set_aside=list(kept.values()),
    )
    with workspace.catalog.transaction() as connection:
        _require_unchanged(connection, plan)
        seq = append(connection, event, actor=workspace.actor).seq
    filesystem, base = _folder(workspace, plan.dataset)
    # While nobody can put a version on record: none can be committed to the table meanwhile.
    with workspace.catalog.transaction() as connection:
        _require_unchanged(connection, plan)
        for name in sorted(kept, reverse=True):  # the newest first: never a gap in the log
            filesystem.rm(f"{base}/{name}")
    return seq


def commit_missing(workspace: Workspace, plan: Disagreement) -> None:
    """Makes the table's commits again that it lacks, from the ledger alone.

    Raises:
        ChangedDatasetError: the table cannot be made anew, since no data file is left that tells
            its columns.
        SystemFaultError: store or catalog cannot be used.
    """
    with workspace.catalog.read() as connection:
        versions = versions_between(connection, plan.dataset, 0, plan.recorded)
    if not versions:
        return
    if plan.agreed < 0:
        _create_again(workspace, versions)
    for recorded in versions:
        if recorded.event.version > plan.agreed:
            commit_recorded(workspace, recorded)


def give_up(workspace: Workspace, plan: Disagreement) -> int | None:
    """Puts on record that records are lost, so that the dataset can be used without them.

    Returns:
        The ledger entry; None where nothing is lost.

    Raises:
        SystemFaultError: the dataset changed meanwhile, or catalog or store cannot be used.
    """
    if not plan.lost:
        return None
    parts = {(part.batch, part.part) for part in plan.lost}
    with workspace.catalog.transaction() as connection:
        newest = _require_unchanged(connection, plan)
        assert newest is not None  # noqa: S101  something was admitted, or nothing was lost
        files = version_files(connection, plan.dataset, plan.recorded)
        event = RowsLost(
            dataset=plan.dataset,
            version=plan.recorded + 1,
            parts=plan.lost,
            table_id=newest.event.table_id,
            schema=newest.event.schema,
            removed=sorted({f.file.path for f in files if (f.batch, f.part) in parts}),
        )
        recorded = Recorded(record(connection, event, changes, actor=workspace.actor), event)
    commit_recorded(workspace, recorded)
    return recorded.entry.seq


def _require_unchanged(connection: Connection, plan: Disagreement) -> Recorded | None:
    """Under the writers' lock: no version was put on record since the plan was made.

    Raises:
        SystemFaultError: one was.
    """
    newest = find_newest(connection, plan.dataset)
    if (0 if newest is None else newest.event.version) != plan.recorded:
        raise SystemFaultError(
            f"dataset {plan.dataset!r} changed meanwhile: run `lazaretto catalog reconcile` again"
        )
    return newest


def _keep(workspace: Workspace, dataset: str, name: str) -> StoredFile:
    """Copies a file of a table's log to where evidence is kept."""
    filesystem, base = _folder(workspace, dataset)
    plain = name.removeprefix(f"{LOG}/").replace("/", "-").lstrip("_.")
    with filesystem.open(f"{base}/{name}", "rb") as file:
        chunks = iter(lambda: file.read(_CHUNK), b"")
        return workspace.store.put(f"set-aside/{dataset}/{{sha256}}-{plain}", chunks)


def _folder(workspace: Workspace, dataset: str) -> tuple[fsspec.AbstractFileSystem, str]:
    filesystem, base = fsspec.core.url_to_fs(dataset_uri(workspace, dataset))
    return filesystem, str(base).rstrip("/")


def _create_again(workspace: Workspace, versions: list[Recorded]) -> None:
    """Writes the first entry of a table's log as it was: with its id and its columns.

    Raises:
        ChangedDatasetError: nothing is left that tells its columns.
    """
    event = versions[-1].event
    first = next(_first_entries(workspace, versions), None)
    if first is None:
        raise ChangedDatasetError(
            event.dataset,
            "it is gone, and neither a data file nor the stored copy of a batch tells its columns",
            f"Restore {dataset_path(event.dataset)} from a backup, or deliver one of its batches "
            "again; then run `lazaretto catalog reconcile` again",
        )
    filesystem, base = _folder(workspace, event.dataset)
    target = f"{base}/{log_entry(0)}"
    temporary = f"{target}.tmp"
    workspace.store.make_folder(filesystem, target)
    with filesystem.open(temporary, "wb") as file:
        file.write(first)
    filesystem.mv(temporary, target)


def _first_entries(workspace: Workspace, versions: Iterable[Recorded]) -> Iterator[bytes]:
    """First entries of a log with the columns that are on record."""
    for recorded, schema in _schemas(workspace, versions):
        with working_folder() as folder:
            create_table(str(folder), schema)
            table = find_table(str(folder))
            if table is None or schema_digest(table) != recorded.event.schema:
                continue
            text = (folder / log_entry(0)).read_text("utf-8")
        actions = [json.loads(line) for line in text.splitlines()]
        for action in actions:
            if "metaData" in action:
                action["metaData"]["id"] = recorded.event.table_id
        yield "".join(f"{json.dumps(action)}\n" for action in actions).encode()


def _schemas(
    workspace: Workspace, versions: Iterable[Recorded]
) -> Iterator[tuple[Recorded, pa.Schema]]:
    """Columns as data files tell them, then as the stored copies of batches do.

    Those of the first version: later ones, which may have more columns, come by their own commits.
    """
    every = list(versions)
    kept = [one for one in every if one.event.schema == every[0].event.schema]
    for recorded in kept:
        for file in recorded.files:
            with suppress(ChangedFileError):
                yield recorded, read_schema(workspace.store, file.file)
    for recorded in kept:
        for event in recorded.admitted:
            received = load_batch(workspace, event.batch)
            with suppress(ChangedFileError, DeletedPayloadError):
                data = open_stored(workspace, received)
                schema = as_kept(storable(with_added(data.schema), recorded.event.dataset))
                yield recorded, schema
                # As tables were made before there were flags.
                yield recorded, schema.remove(schema.get_field_index(FLAGS))
