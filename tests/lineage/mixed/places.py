"""A workspace for many short histories, one after the other: emptied in milliseconds.

A new one for each would compile every statement anew, which takes longer than a history.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from lazaretto.storage.column_types import metadata
from lazaretto.storage.workspace import open_workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lazaretto.storage.workspace import Workspace

_KEPT = ("workspace", "alembic_version")


@dataclass(frozen=True, slots=True)
class Place:
    """A place for one history at a time.

    Attributes:
        workspace: its catalog is emptied after each.
        folder: for files of events. The store in it is opened by a symbolic link.
    """

    workspace: Workspace
    folder: Path

    @contextmanager
    def empty(self) -> Iterator[Workspace]:
        """The workspace, without anything in its catalog."""
        clear(self.workspace)
        yield self.workspace


@contextmanager
def place(catalog_url: str, folder: Path) -> Iterator[Place]:
    """A place with a catalog that is there, and a new store.

    Args:
        catalog_url: of the catalog.
        folder: of the store and of files of events.
    """
    (folder / "real").mkdir(parents=True)
    store = folder / "store"
    store.symlink_to(folder / "real")
    workspace = open_workspace(catalog_url=catalog_url, store=store)
    try:
        yield Place(workspace, folder)
    finally:
        workspace.catalog.engine.dispose()


def clear(workspace: Workspace) -> None:
    """Empties a catalog of all but its identity."""
    with workspace.catalog.engine.begin() as connection:
        driver: Any = connection.connection
        cursor = driver.cursor()
        for table in _tables():
            cursor.execute(f'DELETE FROM "{table}"')
        cursor.close()


@cache
def _tables() -> list[str]:
    """Names of the tables that are emptied, those first that refer to others."""
    tables = reversed(metadata.sorted_tables)
    return [table.name for table in tables if table.name not in _KEPT]
