"""Small data files of a dataset are put together; no record comes, goes or changes.

As with every version, the files are written first, then it goes on record, then the table's commit
follows. Rows are read as they are on record, every byte checked, so that nothing that somebody
changed in the store enters a file with a digest of its own.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.dataset.commit import ATTEMPTS, commit_recorded
from lazaretto.dataset.damage import damage_on_record
from lazaretto.dataset.files import read_files
from lazaretto.dataset.history import find_newest, versions_between
from lazaretto.dataset.recorded import Recorded, removed_files
from lazaretto.dataset.state import changes
from lazaretto.dataset.table import is_newest, open_dataset, open_newest
from lazaretto.dataset.together import by_part, write_together
from lazaretto.errors import SystemFaultError
from lazaretto.ledger.events import DatasetCompacted
from lazaretto.ledger.state import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from lazaretto.dataset.table import DatasetVersion, Newest
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import DataFile

TARGET = 128 * 2**20
"""Bytes that a file is to have: as many as after which admission begins another."""
_GROWS = 2
"""A file joins smaller ones that have at least half its size together. So each time that a record
is written again its file is half as large again, and that happens a few times in all."""


@dataclass(frozen=True, slots=True)
class Compaction:
    """Data files that were put together.

    Attributes:
        version: of the dataset, that has the new files.
        before: how many files were put together.
        after: how many came of them.
        rows: records in them.
        seq: ledger entry.
    """

    version: int
    before: int
    after: int
    rows: int
    seq: int


def find_small(
    files: Iterable[DataFile], target: int = TARGET
) -> list[tuple[tuple[DataFile, ...], ...]]:
    """Which data files to put together.

    Args:
        files: of a version.
        target: bytes that a file is to have; those of at least half of it are large enough.

    Returns:
        Groups, each of which becomes one file. A member of a group is what must stay together: all
        files of one batch and part, or all stretches of one file.
    """
    groups: list[tuple[tuple[DataFile, ...], ...]] = []
    group: list[tuple[DataFile, ...]] = []
    total = 0

    def close() -> None:
        if len({file.file.path for member in group for file in member}) > 1:
            groups.append(tuple(group))

    for size, member in sorted(_members(files), key=lambda one: (one[0], one[1][0].key)):
        if size * 2 >= target:
            break
        if group and (total + size > target or size > _GROWS * total):
            close()
            group, total = [], 0
        group.append(member)
        total += size
    close()
    return groups


def compact(
    workspace: Workspace,
    dataset: str,
    *,
    target: int = TARGET,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> list[Compaction]:
    """Puts small data files together, while others admit and recall.

    Each group of files is a version of its own. Where others changed the dataset meanwhile, the new
    file is used all the same, unless one of the files that it is made of is no longer there: then
    it is left out, and the next run begins with what is there by then.

    Args:
        workspace: catalog and store.
        dataset: its name.
        target: bytes that a file is to have.
        progress: is told how many of the groups are done.

    Raises:
        NotFoundError: there is no such dataset.
        ChangedDatasetError: the table is not the one that is on record.
        ChangedFileError: a data file is gone or was changed.
        SystemFaultError: store or catalog cannot be used; the same call goes on later.

    Examples:
        >>> [done.rows for done in compact(workspace, "reviews")]
        [114]
    """
    with damage_on_record(workspace, dataset, "maintain"):
        base = open_dataset(workspace, dataset)
    groups = find_small(base.files, target)
    done: list[Compaction] = []
    for number, group in enumerate(groups, start=1):
        with damage_on_record(workspace, dataset, "maintain", base.files):
            made = _put_together(workspace, base, group)
        done += [] if made is None else [made]
        progress("groups of files", number, len(groups))
    return done


def _members(files: Iterable[DataFile]) -> list[tuple[int, tuple[DataFile, ...]]]:
    """What must stay together, with its bytes."""
    found: dict[tuple[str, ...], list[DataFile]] = defaultdict(list)
    for file in files:
        own = (file.batch, file.part) if file.start is None else (file.file.path,)
        found[own].append(file)
    return [
        (sum({one.file.path: one.file.size for one in member}.values()), tuple(member))
        for member in found.values()
    ]


def _put_together(
    workspace: Workspace, base: DatasetVersion, group: Sequence[Sequence[DataFile]]
) -> Compaction | None:
    """None where one of the files is no longer in the dataset, or its columns are others."""
    old = [file for member in group for file in member]
    removed = sorted({file.file.path for file in old})
    purpose = "compact:" + "\n".join(removed)
    rows = read_files(workspace.store, old, schema=base.schema)
    files = write_together(workspace.store, base.dataset, purpose, base.schema, by_part(rows))
    for _ in range(ATTEMPTS):
        newest = open_newest(workspace, base.dataset)
        if newest.table is None or not _still_there(workspace, base, newest, removed):
            return None
        event = DatasetCompacted(
            dataset=base.dataset,
            version=newest.version + 1,
            rows=sum(file.rows for file in files),
            table_id=base.table_id,
            schema=base.schema_digest,
            files=files,
            removed=removed,
        )
        with workspace.catalog.transaction() as connection:
            last = find_newest(connection, base.dataset)
            if not is_newest(base.dataset, newest.table, last):
                continue  # somebody was faster
            recorded = Recorded(record(connection, event, changes, actor=workspace.actor), event)
        commit_recorded(workspace, recorded, newest.table)
        paths = {file.file.path for file in files}
        return Compaction(event.version, len(removed), len(paths), event.rows, recorded.entry.seq)
    raise SystemFaultError(f"dataset {base.dataset!r} changed {ATTEMPTS} times meanwhile")


def _still_there(
    workspace: Workspace, base: DatasetVersion, newest: Newest, paths: Sequence[str]
) -> bool:
    """Whether the newest version has these files of another one, and its columns."""
    if newest.recorded is None or newest.recorded.event.schema != base.schema_digest:
        return False
    with workspace.catalog.read() as connection:
        since = versions_between(connection, base.dataset, base.version, newest.version)
    gone = {path for recorded in since for path in removed_files(recorded.event)}
    return gone.isdisjoint(paths)
