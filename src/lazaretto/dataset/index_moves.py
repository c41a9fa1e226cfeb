"""Records that only lie in another data file since they were indexed: they are not read again."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from lazaretto.dataset.history import versions_between
from lazaretto.ledger.events import DatasetCompacted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from sqlalchemy.engine import Connection, Row

    from lazaretto.values import DataFile


def compacted_since(
    connection: Connection, dataset: str, indexed: int, version: int
) -> frozenset[str]:
    """Paths of data files whose records were put into others behind a version, and not changed.

    Args:
        connection: of the catalog.
        dataset: its name.
        indexed: the version that the index is of; less than 1: it has nothing.
        version: the newest one.

    Raises:
        ChangedStateError: the catalog does not say what the ledger says.
    """
    if indexed < 1:
        return frozenset()
    return frozenset(
        path
        for one in versions_between(connection, dataset, indexed, version)
        if isinstance(one.event, DatasetCompacted)
        for path in one.event.removed
    )


def moved(
    gone: Iterable[Row[Any]],
    new: Iterable[DataFile],
    since: Mapping[tuple[str, str], int],
    compacted: Collection[str],
) -> dict[int, str]:
    """Which new files are those that the index has under other names.

    Only where one old file and one new one are of the same admission and have as many records:
    a compaction changes none, and what was recalled in between makes them fewer.

    Args:
        gone: rows of `indexed_file` that are no file of the newest version.
        new: files of it that are not in the index.
        since: the version that admitted each part of each batch first.
        compacted: see `compacted_since`.

    Returns:
        The new file's key by the row's id.
    """
    old: defaultdict[tuple[str, int], list[Row[Any]]] = defaultdict(list)
    for row in gone:
        if row.path.partition("#")[0] in compacted:
            old[row.batch, row.since].append(row)
    there: defaultdict[tuple[str, int], list[DataFile]] = defaultdict(list)
    for file in new:
        there[file.batch, since[file.batch, file.part]].append(file)
    return {
        old[own][0].id: files[0].key
        for own, files in there.items()
        if len(files) == len(old[own]) == 1 and files[0].rows == old[own][0].records
    }
