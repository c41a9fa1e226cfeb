"""Versions of a dataset whose data files retention deleted: nobody gets a part of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.dataset.history import find_newest, version_files
from lazaretto.errors import NotFoundError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import DatasetPruned

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.engine import Connection

    from lazaretto.values import DataFile


def require_kept(
    connection: Connection, dataset: str, version: int, files: Iterable[DataFile]
) -> None:
    """Refuses a version of which data files were deleted.

    Inside a transaction that writes, nobody can put a deletion on record meanwhile.

    Args:
        connection: of the catalog.
        dataset: its name.
        version: of it.
        files: its data files.

    Raises:
        NotFoundError: retention deleted some of them.
    """
    paths = {file.file.path for file in files}
    found = entries(connection, kinds=[DatasetPruned.kind], subject=f"dataset:{dataset}")
    for entry in found:
        event = entry.event
        if not isinstance(event, DatasetPruned) or paths.isdisjoint(event.files):
            continue
        newest = find_newest(connection, dataset)
        if newest is None or newest.event.version == version:
            return  # what was lost may have been admitted again, under the same names
        there = version_files(connection, dataset, newest.event.version)
        if paths.intersection(event.files) <= {file.file.path for file in there}:
            continue
        raise NotFoundError(
            f"version {version} of dataset {dataset!r} is no longer kept: data files of it were "
            f"deleted by retention on {entry.at:%Y-%m-%d} (ledger entry {entry.seq}). Versions of "
            "which a snapshot was taken are always kept"
        )
