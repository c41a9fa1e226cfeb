"""Which data files a version of a dataset has, for events that must tell what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.dataset.history import version_files
from lazaretto.errors import ChangedStateError, LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import DataFile


def files_of(workspace: Workspace) -> Callable[[str, int], list[DataFile] | None]:
    """Asks the catalog for the data files of a version, by the dataset's name.

    It answers None where the catalog does not say what the ledger says: an event then tells less,
    and is sent all the same.

    Args:
        workspace: whose catalog it is.

    Examples:
        >>> len(files_of(workspace)("reviews", 2))
        2
    """

    def known(dataset: str, version: int) -> list[DataFile] | None:
        try:
            with workspace.catalog.read() as connection:
                return version_files(connection, dataset, version)
        except (ChangedStateError, LedgerError):
            return None

    return known
