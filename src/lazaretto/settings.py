"""Where things are: option, environment, Airflow's configuration, or the default under ``~/.lazaretto``."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import Connection

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
            connection = Connection.get(CONNECTION_ID)
        except Exception:  # noqa: BLE001  Airflow raises different types when there is no connection
            return found
        found = settings_of_connection(connection) | found
    return found


def settings_of_connection(connection: Connection) -> dict[str, str]:
    """What a ``lazaretto`` connection says: its extra, with its password put into the catalog's URL.

    Airflow encrypts and masks a connection's password, but shows a URL in the extra to who may edit it.
    """
    extra = connection.extra_dejson
    found = {key: str(extra[key]) for key in ("catalog_url", "store", "namespace") if extra.get(key)}
    if connection.password and "catalog_url" in found:
        from sqlalchemy import make_url

        url = make_url(found["catalog_url"]).set(password=connection.password)
        found["catalog_url"] = url.render_as_string(hide_password=False)
    return found
