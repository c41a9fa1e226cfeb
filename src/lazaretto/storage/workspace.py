"""A workspace: one catalog and one store, which every stage works on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.storage.catalog import Catalog
from lazaretto.storage.settings import resolve_settings
from lazaretto.storage.store import Store

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Workspace:
    """Catalog and store together; what a stage function takes first.

    Attributes:
        catalog: sources, batches, cases, decisions, ledger, lineage index.
        store: batches, side-cars, held records, references, admitted datasets.
        namespace: OpenLineage namespace of Lazaretto's jobs.
    """

    catalog: Catalog
    store: Store
    namespace: str = "lazaretto"


def open_workspace(
    *,
    catalog_url: str | None = None,
    store: str | Path | None = None,
    namespace: str | None = None,
    upgrade: bool = True,
) -> Workspace:
    """Opens (and by default creates or migrates) the catalog, and the store.

    Args:
        catalog_url: SQLAlchemy URL, SQLite or PostgreSQL; default by `resolve_settings`.
        store: store root; default by `resolve_settings`.
        namespace: OpenLineage namespace; default by `resolve_settings`.
        upgrade: bring the catalog's schema to this version; otherwise another version is an error.

    Raises:
        SystemFaultError: the catalog cannot be reached, or has another version and is not
            to be upgraded.
    """
    settings = resolve_settings(
        catalog_url=catalog_url, store=None if store is None else str(store), namespace=namespace
    )
    return Workspace(
        catalog=Catalog.open(settings.catalog_url, upgrade=upgrade),
        store=Store.at(settings.store),
        namespace=settings.namespace,
    )
