"""A workspace: one catalog and one store, which every stage works on."""

from __future__ import annotations

import getpass
import os
import socket
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lazaretto.errors import NotFoundError, OtherStoreError
from lazaretto.redact import safe_uri
from lazaretto.storage.catalog import Catalog
from lazaretto.storage.identity import StoreOwner, store_id
from lazaretto.storage.object_stores import require_supported
from lazaretto.storage.settings import resolve_settings
from lazaretto.storage.store import Store
from lazaretto.values import Actor, ActorType

if TYPE_CHECKING:
    from pathlib import Path

    from lazaretto.values import Deploy


def os_user() -> Actor:
    """Whoever the operating system says runs this process, ``os:alice@host``.

    Environment variables such as ``LOGNAME`` have no say where the system knows users by number.
    """
    try:
        import pwd

        name = pwd.getpwuid(os.getuid()).pw_name
    except ImportError:  # Windows
        name = getpass.getuser()
    except KeyError:  # a container's user without a name
        name = f"uid-{os.getuid()}"
    return Actor(ActorType.OS_USER, f"os:{name}@{socket.gethostname()}"[:255])


@dataclass(frozen=True, slots=True)
class Workspace:
    """Catalog and store together; what a stage function takes first.

    Attributes:
        catalog: sources, batches, cases, decisions, ledger, lineage index.
        store: batches, side-cars, held records, references, admitted datasets.
        namespace: OpenLineage namespace of Lazaretto's jobs.
        actor: who acts: on record with every ledger entry that is made through this workspace.
        deploy: the workflow's code that calls the stages; None: a person does.
    """

    catalog: Catalog
    store: Store
    namespace: str = "lazaretto"
    actor: Actor = field(default_factory=os_user)
    deploy: Deploy | None = None

    def acting(self, actor: Actor) -> Workspace:
        """The same workspace for somebody else, such as the policy itself when reviews expire."""
        return replace(self, actor=actor)


def open_workspace(
    *,
    catalog_url: str | None = None,
    store: str | Path | None = None,
    namespace: str | None = None,
    create: bool = True,
    upgrade: bool = False,
    home: bool = True,
    actor: Actor | None = None,
) -> Workspace:
    """Opens the catalog, which is made where there is none yet, and the store.

    That they are of one workspace is checked when the store is used first; where the catalog is to
    be made, at once, so that a slip in its name does not start another one on the same store.

    Args:
        catalog_url: SQLAlchemy URL, SQLite or PostgreSQL; default by `resolve_settings`.
        store: store root; default by `resolve_settings`.
        namespace: OpenLineage namespace; default by `resolve_settings`.
        create: make the catalog where there is none; otherwise that is an error.
        upgrade: migrate a catalog of an older version; otherwise that is an error.
        home: see `resolve_settings`.
        actor: who acts; default: the operating system's user.

    Raises:
        UsageError: nothing says where catalog or store are, and they are not to be at home; or no
            store can be at such an address.
        NotFoundError: there is no catalog, and none is to be made.
        OtherStoreError: there is no catalog, and the store belongs to one.
        SystemFaultError: the catalog cannot be reached, or is of another version.

    Examples:
        >>> opened = open_workspace(catalog_url="sqlite:///new.db", store="new-store")
        >>> opened.store.root.endswith("new-store")
        True
    """
    settings = resolve_settings(
        catalog_url=catalog_url,
        store=None if store is None else str(store),
        namespace=namespace,
        home=home,
    )
    place = Store.at(settings.store)
    require_supported(place.root)
    try:
        catalog = Catalog.open(settings.catalog_url, create=False, upgrade=upgrade)
    except NotFoundError:
        if not create:
            raise
        if (other := store_id(place)) is not None:
            problem = f"there is no catalog yet, and the store is of workspace {other}"
            raise OtherStoreError(safe_uri(settings.catalog_url), place.root, problem) from None
        catalog = Catalog.open(settings.catalog_url, upgrade=upgrade)
    return Workspace(
        catalog=catalog,
        store=replace(place, owner=StoreOwner(catalog)),
        namespace=settings.namespace,
        actor=actor or os_user(),
    )
