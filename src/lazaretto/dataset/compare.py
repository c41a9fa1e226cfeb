"""A dataset's table held against the ledger: where the two part, and what is lost."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lazaretto.dataset.admission import find_admission
from lazaretto.dataset.damage import difference
from lazaretto.dataset.delta import LOG, LogUnreadableError, find_table, schema_digest
from lazaretto.dataset.files import dataset_path, dataset_uri
from lazaretto.dataset.history import find_newest, schema_of, version_files
from lazaretto.values import LostPart

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from deltalake import DeltaTable
    from sqlalchemy.engine import Connection

    from lazaretto.dataset.recorded import Recorded
    from lazaretto.storage.store import Store
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import DataFile

_VERSIONS = re.compile(r"(\d{20})(?:\.(\d{20}))?\.")


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


def _log_files(sizes: Iterable[str], dataset: str) -> dict[str, tuple[int, int] | None]:
    """Files of a table's log below its folder, each with the versions that it is of."""
    start = f"{dataset_path(dataset)}/"
    names = [path.removeprefix(start) for path in sizes if path.startswith(f"{start}{LOG}/")]
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
    if first is None or not _is_same(workspace, dataset, first, newest):
        return -1
    for version in range(last, -1, -1):
        table = _open(workspace, dataset, version)
        if table is None or not _is_same(workspace, dataset, table, newest):
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


def _is_same(
    workspace: Workspace, dataset: str, table: DeltaTable, newest: Recorded | None
) -> bool:
    """Whether it is the table that is on record; before anything is, each will do."""
    if newest is None:
        return True
    if str(table.metadata().id) != newest.event.table_id:
        return False
    with workspace.catalog.read() as connection:
        return schema_digest(table) == schema_of(connection, dataset, table.version())


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
