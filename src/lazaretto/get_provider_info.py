"""What Airflow's provider manager asks for: operators, connection type, configuration, assets."""

from __future__ import annotations

from typing import Any

_OPERATORS = (
    "receive_batch",
    "validate_batch",
    "embed_batch",
    "screen_batch",
    "quarantine_gate",
    "admit_batch",
    "ingest_batch",
    "screened",
    "snapshot_training",
    "sanitize_training",
    "register_model",
    "trace_incident",
    "maintain_dataset",
    "open_incident",
    "evaluate_model",
    "promote_model",
    "drill",
    "flush_lineage",
)


def get_provider_info() -> dict[str, Any]:
    """The provider's metadata, as ``airflow/provider_info.schema.json`` wants it."""
    return {
        "package-name": "lazaretto",
        "name": "Lazaretto",
        "description": "Keeps poisoned data out of machine-learning models.",
        "integrations": [{"integration-name": "Lazaretto", "tags": ["software"]}],
        "operators": [
            {
                "integration-name": "Lazaretto",
                "python-modules": [f"lazaretto.operators.{name}" for name in _OPERATORS],
            }
        ],
        "sensors": [
            {
                "integration-name": "Lazaretto",
                "python-modules": [
                    "lazaretto.operators.ask_for_review",
                    "lazaretto.operators.await_delivery",
                    "lazaretto.operators.await_review",
                ],
            }
        ],
        "hooks": [
            {"integration-name": "Lazaretto", "python-modules": ["lazaretto.operators.hook"]}
        ],
        "triggers": [
            {"integration-name": "Lazaretto", "python-modules": ["lazaretto.operators.triggers"]}
        ],
        "connection-types": [
            {
                "connection-type": "lazaretto",
                "hook-class-name": "lazaretto.operators.hook.LazarettoHook",
                "hook-name": "Lazaretto",
                "conn-fields": {
                    "catalog_url": _field(
                        "Catalog URL",
                        "SQLAlchemy URL of the catalog, without a password, such as"
                        " postgresql+psycopg://lazaretto@db/lazaretto",
                    ),
                    "store": _field(
                        "Store",
                        "Root of the store: an absolute path that every worker has, or a URI"
                        " such as s3://bucket/lazaretto, whose credentials are in the environment.",
                    ),
                    "namespace": _field(
                        "OpenLineage namespace",
                        "Of Lazaretto's own jobs. Empty: lazaretto",
                        required=False,
                    ),
                },
                "ui-field-behaviour": {
                    "hidden-fields": ["host", "port", "schema", "login", "extra"],
                    "relabeling": {"password": "Catalog password"},
                    "placeholders": {"password": "goes into the catalog URL; kept encrypted"},
                },
            }
        ],
        "task-decorators": [
            {"name": "screened", "class-name": "lazaretto.operators.screened.screened_task"}
        ],
        "notifications": ["lazaretto.operators.quarantine_notifier.QuarantineNotifier"],
        "extra-links": ["lazaretto.operators.links.CaseLink"],
        "asset-uris": [
            {
                "schemes": ["lazaretto"],
                "handler": "lazaretto.operators.assets.sanitize_uri",
                "factory": "lazaretto.operators.assets.create_asset",
                "to_openlineage_converter": "lazaretto.operators.assets.to_openlineage",
            }
        ],
        "config": {
            "lazaretto": {
                "description": "Where Lazaretto keeps its catalog and its store. The environment"
                " variables LAZARETTO_CATALOG_URL, LAZARETTO_STORE, LAZARETTO_NAMESPACE come before"
                " these options, the connection lazaretto_default after them.",
                "options": {
                    "catalog_url": _option(
                        "SQLAlchemy URL of the catalog: PostgreSQL (or SQLite, on one machine).",
                        example="postgresql+psycopg://lazaretto@db/lazaretto",
                        sensitive=True,
                    ),
                    "store": _option(
                        "Root of the store: an absolute path, or a URI that fsspec opens.",
                        example="s3://bucket/lazaretto",
                    ),
                    "namespace": _option(
                        "OpenLineage namespace of Lazaretto's own jobs.", example="ml-platform"
                    ),
                },
            }
        },
    }


def _field(label: str, description: str, *, required: bool = True) -> dict[str, Any]:
    """A field of the connection form; Airflow keeps it in the connection's extra."""
    # What may be empty is null where nothing was entered: the form sends that.
    kind: str | list[str] = "string" if required else ["string", "null"]
    return {"label": label, "description": description, "schema": {"type": kind}}


def _option(description: str, *, example: str, sensitive: bool = False) -> dict[str, Any]:
    # The default is empty, so that the connection is asked next.
    option: dict[str, Any] = {
        "description": description,
        "version_added": "0.1.0",
        "type": "string",
        "example": example,
        "default": "",
    }
    return option | {"sensitive": True} if sensitive else option
