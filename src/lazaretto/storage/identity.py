"""Which store belongs to which catalog: one id, kept in both, compared before the store is used.

The catalog gets its id when it is made. The store gets it with the first file that is written to
it, as ``workspace.json``. So a store may be moved, or mounted elsewhere, and is still known; and an
empty folder, or another workspace's store, is named before anything of it is believed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.errors import NotFoundError, OtherStoreError
from lazaretto.storage import tables

if TYPE_CHECKING:
    from lazaretto.storage.catalog import Catalog
    from lazaretto.storage.store import Store

MARK = "workspace.json"
"""The file in the store's root that holds the id."""
_MARK_BYTES = 4096
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(slots=True)
class StoreOwner:
    """The catalog that a store is used with; compares them once, at the first use of the store.

    Attributes:
        catalog: the catalog.
    """

    catalog: Catalog
    _fits: bool = field(default=False, init=False)
    _marked: bool = field(default=False, init=False)

    def require(self, store: Store) -> None:
        """Lets nobody use a store that is not this catalog's.

        Args:
            store: the store, opened without an owner.

        Raises:
            OtherStoreError: it belongs to another catalog, or is empty while this one names files.
            SystemFaultError: catalog or store cannot be reached.
        """
        if not self._fits:
            self._marked = compare(self.catalog, store)
            self._fits = True

    def mark(self, store: Store) -> None:
        """Writes the catalog's id into the store, unless it is there: before its first file.

        A folder of this machine may be gone since it was compared, such as a disk that was
        unmounted: it is looked at each time.

        Raises:
            OtherStoreError: the mark is gone, and the catalog names files.
            SystemFaultError: catalog or store cannot be reached.
        """
        if self._marked and store.is_local and not store.exists(MARK):
            self._marked = compare(self.catalog, store)
        if not self._marked:
            identity = workspace_id(self.catalog)
            store.replace(MARK, (json.dumps({"workspace": identity}) + "\n").encode())
            self._marked = True


def compare(catalog: Catalog, store: Store) -> bool:
    """Compares a catalog's id with its store's.

    Returns:
        Whether the store is marked. One without a mark fits a catalog that names no file yet.

    Raises:
        OtherStoreError: they are not of one workspace.
        SystemFaultError: catalog or store cannot be reached.
    """
    here, there = workspace_id(catalog), store_id(store)
    if there is None and _names_files(catalog):
        # The first file comes after the mark, and its entry after both: another process may have
        # begun since the store was looked at.
        there = store_id(store)
        if there is None:
            raise OtherStoreError(
                catalog.display_url,
                store.root,
                f"the catalog names files, and the store has none of them and no {MARK}: it is "
                "empty, not mounted, or another place",
            )
    if there is not None and there != here:
        raise OtherStoreError(
            catalog.display_url,
            store.root,
            f"the catalog is of workspace {here}, the store of workspace {there}",
        )
    return there is not None


def workspace_id(catalog: Catalog) -> str:
    """The id that a catalog got when it was made.

    Raises:
        SystemFaultError: the catalog cannot be reached.
        NotFoundError: it has none: somebody deleted it.
    """
    with catalog.read() as connection:
        found = connection.scalar(sa.select(tables.workspace.c.id).limit(1))
    if found is None:
        raise NotFoundError(
            f"the catalog {catalog.display_url} has no workspace id: restore it from a backup"
        )
    return str(found)


def store_id(store: Store) -> str | None:
    """The id that a store is marked with; None where there is none.

    Raises:
        OtherStoreError: what is there is no such mark.
        SystemFaultError: the store cannot be read.
    """
    try:
        said = json.loads(store.read_unverified(MARK, _MARK_BYTES))
    except NotFoundError:
        return None
    except (ValueError, RecursionError):
        said = None
    found = said.get("workspace") if isinstance(said, dict) else None
    if not isinstance(found, str) or not _ID.fullmatch(found):
        raise OtherStoreError("", store.root, f"its {MARK} is not one that Lazaretto wrote")
    return found


def _names_files(catalog: Catalog) -> bool:
    """Whether an entry of the ledger names a file, so that the store cannot be a new one."""
    kinds = ("batch_received", "reference_saved", "checkpoint_taken", "incident_traced")
    query = sa.select(tables.ledger.c.seq).where(tables.ledger.c.kind.in_(kinds)).limit(1)
    with catalog.read() as connection:
        return connection.scalar(query) is not None
