"""A dataset's table made what the ledger says: what is on no record leaves its log, and is kept.

The ledger is the log that the table follows, so a table can be made anew from it, version by
version, as long as the data files are there. Nothing is ever taken from the table into the ledger.
"""

from __future__ import annotations

import json
import re
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import fsspec

from lazaretto.dataset.admission import find_admission, with_added
from lazaretto.dataset.commit import commit_recorded
from lazaretto.dataset.damage import difference
from lazaretto.dataset.delta import (
    LogUnreadableError,
    as_kept,
    create_table,
    find_table,
    log_entry,
    schema_digest,
)
from lazaretto.dataset.files import dataset_path, dataset_uri
from lazaretto.dataset.history import (
    Recorded,
    added_files,
    find_newest,
    version_files,
    versions_between,
)
from lazaretto.dataset.schema import storable
from lazaretto.dataset.state import changes
from lazaretto.errors import ChangedDatasetError, ChangedFileError, SystemFaultError
from lazaretto.ledger.chain import append
from lazaretto.ledger.events import BatchAdmitted, DatasetSetBack, RowsLost
from lazaretto.ledger.state import record
from lazaretto.received import load_batch, open_stored
from lazaretto.storage.sidecars import read_schema
from lazaretto.values import LostPart

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    import pyarrow as pa
    from deltalake import DeltaTable
    from sqlalchemy.engine import Connection

    from lazaretto.storage.store import Store
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import DataFile, StoredFile

_VERSIONS = re.compile(r"(\d{20})(?:\.(\d{20}))?\.")
_LOG = "_delta_log"
_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Where a dataset's table and its record part, and what would be done.

    Attributes:
        dataset: its name.
        recorded: newest version on record; 0: nothing was ever admitted.
        found: newest version of the table; -1: there is no table.
        agreed: newest version at which both say the same; -1: none.
        problem: what the table has that is on no record, in words; None: nothing.
        set_aside: files of its log that would be set aside.
        commits: versions on record that the table lacks, and that would be made again.
        lost: admitted records whose data files are gone.
        readmissible: batches of those that may be admitted again once they are given up; from the
            others records were recalled, and those must not come back.
    """

    dataset: str
    recorded: int
    found: int
    agreed: int
    problem: str | None = None
    set_aside: list[str] = field(default_factory=list)
    commits: list[int] = field(default_factory=list)
    lost: list[LostPart] = field(default_factory=list)
    readmissible: list[str] = field(default_factory=list)

    @property
    def table_differs(self) -> bool:
        """Whether the table has to be changed."""
        return bool(self.set_aside or self.commits)


def compare_table(
    workspace: Workspace, dataset: str, sizes: Mapping[str, int]
) -> Disagreement | None:
    """Holds a dataset's table against the ledger; None where they say the same.

    Args:
        workspace: catalog and store.
        dataset: its name.
        sizes: of every file in the store, by path, as it was before the ledger is read here.

    Raises:
        ChangedStateError: the catalog does not say what the ledger says.
        SystemFaultError: catalog or store cannot be used.
    """
    log = _log_files(sizes, dataset)
    found = max((versions[1] for versions in log.values() if versions), default=-1)
    with workspace.catalog.read() as connection:
        newest = find_newest(connection, dataset)
        recorded = 0 if newest is None else newest.event.version
        agreed = _agreed(workspace, dataset, newest, min(found, recorded))
        files = version_files(connection, dataset, recorded)
        lost = _lost_parts(workspace.store, files, sizes)
        stay_away = {p.batch for p in lost if not _returns(connection, workspace, dataset, p)}
    aside = _beyond(log, agreed)
    commits = list(range(max(agreed, 0) + 1, recorded + 1))
    if not (aside or commits or lost):
        return None
    return Disagreement(
        dataset=dataset,
        recorded=recorded,
        found=found,
        agreed=agreed,
        problem=_problem(workspace, dataset, recorded, agreed) if aside else None,
        set_aside=aside,
        commits=commits,
        lost=lost,
        readmissible=sorted({part.batch for part in lost} - stay_away),
    )


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
            removed=[file.file.path for file in files if (file.batch, file.part) in parts],
        )
        recorded = Recorded(record(connection, event, changes, actor=workspace.actor), event)
    commit_recorded(workspace, recorded)
    return recorded.entry.seq


def _log_files(sizes: Iterable[str], dataset: str) -> dict[str, tuple[int, int] | None]:
    """Files of a table's log below its folder, each with the versions that it is of."""
    start = f"{dataset_path(dataset)}/"
    names = [path.removeprefix(start) for path in sizes if path.startswith(f"{start}{_LOG}/")]
    found: dict[str, tuple[int, int] | None] = {}
    for name in names:
        match = _VERSIONS.match(name.rsplit("/", 1)[-1])
        first = int(match[1]) if match else 0
        found[name] = (first, int(match[2] or first)) if match else None
    return found


def _beyond(log: Mapping[str, tuple[int, int] | None], agreed: int) -> list[str]:
    """Files of a log that say something of versions behind one.

    Those of no version, such as the hint which checkpoint is the last, go with them: whoever reads
    the table makes them anew, or does without.
    """
    beyond = [name for name, versions in log.items() if versions and versions[1] > agreed]
    loose = [name for name, versions in log.items() if versions is None]
    return sorted([*beyond, *loose]) if beyond or (agreed < 0 and loose) else []


def _agreed(workspace: Workspace, dataset: str, newest: Recorded | None, last: int) -> int:
    """The newest version at which the table says what is on record; -1: none."""
    first = _open(workspace, dataset, 0) if last >= 0 else None
    if first is None or not _is_same(first, newest):
        return -1
    for version in range(last, -1, -1):
        table = _open(workspace, dataset, version)
        if table is None or not _is_same(table, newest):
            continue
        with workspace.catalog.read() as connection:
            files = version_files(connection, dataset, version)
        if difference(table, files) is None:
            return version
    return -1


def _open(workspace: Workspace, dataset: str, version: int) -> DeltaTable | None:
    try:
        return find_table(dataset_uri(workspace, dataset), version)
    except LogUnreadableError:
        return None


def _is_same(table: DeltaTable, newest: Recorded | None) -> bool:
    """Whether it is the table that is on record; before anything is, each will do."""
    if newest is None:
        return True
    same = str(table.metadata().id) == newest.event.table_id
    return same and schema_digest(table) == newest.event.schema


def _problem(workspace: Workspace, dataset: str, recorded: int, agreed: int) -> str:
    """What the table has that is on no record, in words."""
    if agreed < 0:
        return "its log is not the one on record"
    try:
        table = find_table(dataset_uri(workspace, dataset))
    except LogUnreadableError as error:
        return f"its log cannot be read: {error}"[:300]
    if table is None:
        return "its log is not the one on record"
    with workspace.catalog.read() as connection:
        files = version_files(connection, dataset, min(recorded, table.version()))
    return difference(table, files) or "it has versions on no record, with the same rows"


def _lost_parts(store: Store, files: Iterable[DataFile], sizes: Collection[str]) -> list[LostPart]:
    """Parts of a version of which a data file is gone, each with all its rows."""
    rows: dict[tuple[str, str], int] = {}
    gone: set[tuple[str, str]] = set()
    for file in files:
        part = file.batch, file.part
        rows[part] = rows.get(part, 0) + file.rows
        # Looked at once more: it may have come after the list was made.
        if file.file.path not in sizes and not store.exists(file.file.path):
            gone.add(part)
    return [LostPart(*part, rows[part]) for part in sorted(gone)]


def _returns(connection: Connection, workspace: Workspace, dataset: str, part: LostPart) -> bool:
    """Whether a part may be admitted again: no record of it was recalled."""
    found = find_admission(connection, workspace, dataset, part.batch, part.part)
    return found is None or found.recalled is None


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
    plain = name.removeprefix(f"{_LOG}/").replace("/", "-").lstrip("_.")
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
        with tempfile.TemporaryDirectory(prefix="lazaretto-") as folder:
            create_table(folder, schema)
            table = find_table(folder)
            if table is None or schema_digest(table) != recorded.event.schema:
                continue
            text = Path(folder, log_entry(0)).read_text("utf-8")
        actions = [json.loads(line) for line in text.splitlines()]
        for action in actions:
            if "metaData" in action:
                action["metaData"]["id"] = recorded.event.table_id
        yield "".join(f"{json.dumps(action)}\n" for action in actions).encode()


def _schemas(
    workspace: Workspace, versions: Iterable[Recorded]
) -> Iterator[tuple[Recorded, pa.Schema]]:
    """Columns as data files tell them, then as the stored copies of batches do."""
    kept = list(versions)
    for recorded in kept:
        for file in added_files(recorded.event):
            with suppress(ChangedFileError):
                yield recorded, read_schema(workspace.store, file.file)
    for recorded in kept:
        if isinstance(recorded.event, BatchAdmitted):
            received = load_batch(workspace, recorded.event.batch)
            with suppress(ChangedFileError):
                data = open_stored(workspace, received)
                yield recorded, as_kept(storable(with_added(data.schema)))
