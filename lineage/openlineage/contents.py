"""What events need of catalog and ledger: a version's data files, and the run that one adds to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.dataset.history import version_files
from lazaretto.dataset.models import ModelKey
from lazaretto.dataset.state import model_key
from lazaretto.errors import ChangedStateError, LedgerError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import ModelRegistered, subject_of
from lazaretto.lineage.openlineage.naming import run_id

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


def earlier_of(workspace: Workspace) -> Callable[[Entry], str | None]:
    """Asks the ledger for the run that made a model version, if an entry registers it once more.

    What was read is kept: the entries of a model are read once, however many are asked about.

    Args:
        workspace: whose ledger it is.

    Examples:
        >>> from lazaretto.ledger.chain import entries
        >>> with workspace.catalog.read() as connection:
        ...     [first, *_] = entries(connection, kinds=["model_registered"])
        >>> earlier_of(workspace)(first) is None
        True
    """
    runs: dict[ModelKey, tuple[int, str]] = {}
    read: dict[str, int] = {}

    def known(entry: Entry) -> str | None:
        if not isinstance(entry.event, ModelRegistered):
            return None
        subject, last = subject_of(entry.event), entry.seq
        with workspace.catalog.read() as connection:
            kinds, after = [ModelRegistered.kind], read.get(subject, 0)
            for one in entries(connection, subject=subject, kinds=kinds, after=after, until=last):
                if isinstance(one.event, ModelRegistered):
                    runs.setdefault(_key(one.event), (one.seq, run_id(one)))
        read[subject] = max(after, last)
        first, run = runs[_key(entry.event)]
        return run if first < entry.seq else None

    return known


def _key(event: ModelRegistered) -> ModelKey:
    return ModelKey(**model_key(event))
