"""What events need of catalog and ledger: a version's data files, and the run that one adds to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.dataset.history import version_files
from lazaretto.errors import ChangedStateError, LedgerError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import ModelRegistered, subject_of
from lazaretto.names import registry_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from lazaretto.ledger.chain import Entry
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


def earlier_of(workspace: Workspace) -> Callable[[Entry], Entry | None]:
    """Asks the ledger for the first registration of a model version, if an entry is a later one.

    Args:
        workspace: whose ledger it is.

    Examples:
        >>> from lazaretto.ledger.chain import entries
        >>> with workspace.catalog.read() as connection:
        ...     [first, *_] = entries(connection, kinds=["model_registered"])
        >>> earlier_of(workspace)(first) is None
        True
    """

    def known(entry: Entry) -> Entry | None:
        if not isinstance(entry.event, ModelRegistered):
            return None
        with workspace.catalog.read() as connection:
            found = entries(
                connection, subject=subject_of(entry.event), kinds=[ModelRegistered.kind]
            )
            for one in found:
                if one.seq >= entry.seq:
                    break
                if isinstance(one.event, ModelRegistered) and _same(one.event, entry.event):
                    return one
        return None

    return known


def _same(one: ModelRegistered, other: ModelRegistered) -> bool:
    return (registry_name(one.registry), one.version) == (
        registry_name(other.registry),
        other.version,
    )
