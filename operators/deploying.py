"""Which code a task runs: what triage names where a fault began with a deploy."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

    from lazaretto.values import Deploy

_MOST_CODE = 4 * 2**20
_LONGEST_NAME = 250


def deployed(operator: BaseOperator, context: Context) -> Deploy | None:
    """Which code runs: the DAG's version or its bundle's, and the sha256 of the DAG's file.

    Returns:
        None for an operator that is of no DAG: whoever executes it is no deployment.
    """
    from lazaretto.values import Deploy

    if not operator.has_dag():  # type: ignore[no-untyped-call]
        return None
    instance: Any = context.get("ti")
    bundle = getattr(getattr(instance, "bundle_instance", None), "version", None)
    version = bundle or getattr(instance, "dag_version_id", None)
    return Deploy(
        workflow=operator.dag_id[:_LONGEST_NAME],
        version=None if version is None else str(version)[:_LONGEST_NAME],
        code=_code_of(getattr(operator.dag, "fileloc", None)),
    )


def _code_of(path: str | None) -> str | None:
    """The sha256 (hex) of a file of code; None where it cannot be read, or is too large for one."""
    if not path:
        return None
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MOST_CODE + 1)
    except OSError:
        return None
    return hashlib.sha256(content).hexdigest() if len(content) <= _MOST_CODE else None
