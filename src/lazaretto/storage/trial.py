"""A trial workspace: what is tried out there leaves nothing behind.

Its catalog is a file of its own. What it writes goes to a folder of its own; what it does not have
itself is read from the real store. Both are gone afterwards. Where machines beside this one do the
work, that folder lies in the real store, which they see; no record names it.
"""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from lazaretto.folders import working_folder
from lazaretto.storage import tables
from lazaretto.storage.catalog import SCHEMA_VERSION, Catalog
from lazaretto.storage.column_types import metadata
from lazaretto.storage.store import Store
from lazaretto.storage.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lazaretto.values import StoredFile


@dataclass(frozen=True, slots=True)
class TrialStore(Store):
    """A store in front of another one, which is only read.

    Attributes:
        behind: where files are read that are not here.
    """

    behind: Store = field(kw_only=True)

    @classmethod
    def between(cls, root: str, behind: str | None) -> Store:
        """The store at a root, in front of another one where there is one."""
        return Store(root) if behind is None else cls(root, behind=Store(behind))

    def open(self, file: StoredFile) -> IO[bytes]:
        """Opens a file that is on record here or behind; see `Store.open`."""
        here = Store(self.root)
        return here.open(file) if here.exists(file.path) else self.behind.open(file)


@contextmanager
def trial_workspace(
    workspace: Workspace, *, like: Workspace | None = None, shared: bool = False
) -> Iterator[Workspace]:
    """Makes an empty workspace that reads the files of another one, and removes it at the end.

    Args:
        workspace: the real one; nothing of it is changed.
        like: another trial workspace, with nothing in its own store, whose catalog this one begins
            with; None: it begins with an empty catalog.
        shared: other machines work on it, too. What is written there lies in the real store
            meanwhile, below ``work-trial-``.

    Raises:
        SystemFaultError: there is no room for it (see TMPDIR), or the store cannot be written.

    Examples:
        >>> with trial_workspace(workspace) as trial:
        ...     trial.catalog == workspace.catalog
        False
    """
    with working_folder() as folder:
        path = folder / "catalog.db"
        if like is not None:
            _copy(str(like.catalog.engine.url.database), str(path))
        catalog = Catalog.at(f"sqlite:///{path}")
        try:
            if like is None:
                _make(catalog)
            with _folder(workspace.store, folder, shared=shared) as root:
                yield Workspace(
                    catalog=catalog,
                    store=TrialStore(root, behind=workspace.store),
                    namespace=workspace.namespace,
                    actor=workspace.actor,
                )
        finally:
            catalog.engine.dispose()


@contextmanager
def _folder(real: Store, folder: Path, *, shared: bool) -> Iterator[str]:
    """Where a trial writes, until it is over."""
    if not shared:
        yield str(folder / "store")
        return
    name = f"work-trial-{uuid.uuid4().hex}"
    try:
        yield f"{real.root}/{name}"
    finally:
        real.delete_folder(name)


def _make(catalog: Catalog) -> None:
    """A catalog of this moment alone: no other version will ever look at it."""
    with catalog.transaction() as connection:
        metadata.create_all(connection)
        values = {"id": uuid.uuid4().hex, "usable_from": SCHEMA_VERSION}
        connection.execute(tables.workspace.insert().values(values))


def _copy(old: str, new: str) -> None:
    """Copies a SQLite catalog, with what still is in its log."""
    with closing(sqlite3.connect(old)) as source, closing(sqlite3.connect(new)) as target:
        source.backup(target)
