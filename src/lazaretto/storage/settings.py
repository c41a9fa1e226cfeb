"""Where things are: option, environment, Airflow's configuration, or ``~/.lazaretto``."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lazaretto.errors import UsageError

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
        catalog_url: SQLAlchemy URL; may hold a password: print `Catalog.display_url` instead.
        store: store root, a local path or fsspec URI.
        namespace: OpenLineage namespace of Lazaretto's jobs.
    """

    catalog_url: str
    store: str
    namespace: str = "lazaretto"


def resolve_settings(
    *,
    catalog_url: str | None = None,
    store: str | None = None,
    namespace: str | None = None,
    home: bool = True,
) -> Settings:
    """Finds catalog and store: explicit option, environment, Airflow where configured, default.

    Args:
        catalog_url: SQLAlchemy URL.
        store: store root.
        namespace: OpenLineage namespace.
        home: where nothing says where they are, they are in ``~/.lazaretto``. That suits a person;
            a task has another home on each worker.

    Raises:
        UsageError: nothing says where the catalog or the store is, and they are not to be at home.
    """
    given = {
        "catalog_url": catalog_url or os.environ.get(CATALOG_VARIABLE),
        "store": store or os.environ.get(STORE_VARIABLE),
        "namespace": namespace or os.environ.get(NAMESPACE_VARIABLE),
    }
    airflow = _from_airflow({key for key, value in given.items() if not value})
    found = {key: value or airflow.get(key) for key, value in given.items()}
    missing = [key for key in ("catalog_url", "store") if not found[key]]
    if missing and not home:
        raise UsageError(_what_is_missing(missing))
    folder = Path("~/.lazaretto").expanduser()
    return Settings(
        catalog_url=found["catalog_url"] or f"sqlite:///{folder / 'catalog.db'}",
        store=found["store"] or str(folder / "store"),
        namespace=found["namespace"] or "lazaretto",
    )


def _what_is_missing(keys: list[str]) -> str:
    named = " and ".join(keys)
    ways = " and ".join(f"AIRFLOW__LAZARETTO__{key.upper()}" for key in keys)
    variables = {"catalog_url": CATALOG_VARIABLE, "store": STORE_VARIABLE}
    return (
        f"nothing says where Lazaretto's {named} is: set it on every worker "
        f"({' and '.join(variables[key] for key in keys)}, or {ways}), or in the extra of the "
        f"connection {CONNECTION_ID}: `airflow connections add {CONNECTION_ID} --conn-type "
        'lazaretto --conn-extra \'{"catalog_url": "postgresql://lazaretto@db/lazaretto", "store": '
        '"s3://bucket/lazaretto"}\'`'
    )


def _from_airflow(missing: set[str]) -> dict[str, str]:
    """Asks Airflow only inside an Airflow process: importing it costs seconds.

    Its configuration comes first; a connection is asked for only where that leaves catalog or store
    open, because each such question is a request to Airflow's API server.
    """
    if not missing or "airflow.sdk" not in sys.modules:
        return {}
    from airflow.sdk import Connection, conf

    found = {key: value for key in missing if (value := conf.get("lazaretto", key, fallback=""))}
    if missing & {"catalog_url", "store"} - set(found):
        try:
            connection = Connection.get(CONNECTION_ID)
        except Exception:  # Airflow raises different types when there is no connection
            return found
        found = settings_of_connection(connection) | found
    return found


def settings_of_connection(connection: Connection) -> dict[str, str]:
    """What a ``lazaretto`` connection says: its extra, with its password in the catalog's URL.

    Airflow encrypts and masks a connection's password, but shows a URL in the extra to its editors.
    """
    extra = connection.extra_dejson
    found = {
        key: str(extra[key]) for key in ("catalog_url", "store", "namespace") if extra.get(key)
    }
    if connection.password and "catalog_url" in found:
        from lazaretto.storage.catalog import parse_url

        url = parse_url(found["catalog_url"]).set(password=connection.password)
        found["catalog_url"] = url.render_as_string(hide_password=False)
    return found
