"""Where things are: option, environment, Airflow's configuration, or the default under ``~/.lazaretto``."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

CATALOG_VARIABLE = "LAZARETTO_CATALOG_URL"
STORE_VARIABLE = "LAZARETTO_STORE"
NAMESPACE_VARIABLE = "LAZARETTO_NAMESPACE"
CONNECTION_ID = "lazaretto_default"


@dataclass(frozen=True, slots=True)
class Settings:
    """Resolved whereabouts.

    Attributes:
        catalog_url: SQLAlchemy URL; may hold a password, so never print it (use `Catalog.display_url`).
        store: store root, a local path or fsspec URI.
        namespace: OpenLineage namespace of Lazaretto's jobs.
    """

    catalog_url: str
    store: str
    namespace: str = "lazaretto"


def resolve_settings(
    *, catalog_url: str | None = None, store: str | None = None, namespace: str | None = None
) -> Settings:
    """Finds catalog and store: explicit option, environment, Airflow where configured, default."""
    airflow = _from_airflow()
    home = Path("~/.lazaretto").expanduser()
    return Settings(
        catalog_url=catalog_url
        or os.environ.get(CATALOG_VARIABLE)
        or airflow.get("catalog_url")
        or f"sqlite:///{home / 'catalog.db'}",
        store=store or os.environ.get(STORE_VARIABLE) or airflow.get("store") or str(home / "store"),
        namespace=namespace or os.environ.get(NAMESPACE_VARIABLE) or airflow.get("namespace") or "lazaretto",
    )


def _from_airflow() -> dict[str, str]:
    """Asks Airflow only inside an Airflow process: importing it costs seconds."""
    if "airflow.sdk" not in sys.modules:
        return {}
    from airflow.sdk import Connection, conf

    found = {
        key: value
        for key in ("catalog_url", "store", "namespace")
        if (value := conf.get("lazaretto", key, fallback=""))
    }
    if "catalog_url" not in found or "store" not in found:
        try:
            extra = Connection.get(CONNECTION_ID).extra_dejson
        except Exception:  # noqa: BLE001  Airflow raises different types when there is no connection
            extra = {}
        found = {k: str(extra[k]) for k in ("catalog_url", "store", "namespace") if extra.get(k)} | found
    return found
