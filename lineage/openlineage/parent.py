"""The run that a stage is part of, such as an Airflow task's, as OpenLineage identifies it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from openlineage.client.uuid import generate_static_uuid

from lazaretto.errors import UsageError
from lazaretto.times import parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping

PARENT_VARIABLE = "OPENLINEAGE_PARENT_ID"
ROOT_VARIABLE = "OPENLINEAGE_ROOT_PARENT_ID"


@dataclass(frozen=True, slots=True)
class Parent:
    """A run of another job.

    Attributes:
        namespace: namespace of its job.
        job: name of its job.
        run: its run id, a UUID.
        root: the run that everything began with, such as that of the whole DAG.
    """

    namespace: str
    job: str
    run: str
    root: Parent | None = None

    @classmethod
    def parse(cls, text: str, root: str | None = None) -> Parent:
        """Reads ``{namespace}/{job}/{run id}``, as Airflow's ``lineage_parent_id`` macro writes it.

        Args:
            text: the run.
            root: of the same form, as ``lineage_root_parent_id`` writes it.

        Raises:
            UsageError: it is not of that form.
        """
        head, _, run = text.rpartition("/")
        namespace, _, job = head.rpartition("/")
        try:
            UUID(run)
        except ValueError:
            namespace = ""
        if not namespace or not job:
            raise UsageError(
                f"not an OpenLineage parent: {text!r}; it looks like namespace/job/run-uuid"
            )
        first = None if root is None else cls.parse(root)
        return cls(namespace=namespace, job=job, run=run, root=first)


def parent_from_environment(environment: Mapping[str, str] | None = None) -> Parent | None:
    """The run that this process is part of; None when it is part of none.

    ``OPENLINEAGE_PARENT_ID`` where it is set, with ``OPENLINEAGE_ROOT_PARENT_ID`` as its root;
    else, inside an Airflow task, the run that Airflow's OpenLineage provider reports for it, from
    the ``AIRFLOW_CTX_*`` variables. These do not name the index of a mapped task, nor the root:
    there, pass ``Parent.parse(lineage_parent_id(ti), lineage_root_parent_id(ti))``.

    Args:
        environment: instead of the process's.

    Raises:
        UsageError: one of these variables is malformed.

    Examples:
        >>> parent_from_environment({}) is None
        True
    """
    variables = os.environ if environment is None else environment
    if text := variables.get(PARENT_VARIABLE):
        return Parent.parse(text, variables.get(ROOT_VARIABLE) or None)
    try:
        dag, task = variables["AIRFLOW_CTX_DAG_ID"], variables["AIRFLOW_CTX_TASK_ID"]
        attempt = int(variables.get("AIRFLOW_CTX_TRY_NUMBER", "1"))
        moment = parse_time(variables["AIRFLOW_CTX_LOGICAL_DATE"])
    except (KeyError, ValueError, UsageError):  # no task, or a run without a logical date
        return None
    namespace = _airflow_namespace(variables)
    data = f"{namespace}.{dag}.{task}.{attempt}.-1".encode()
    return Parent(namespace, f"{dag}.{task}", str(generate_static_uuid(moment, data)))


def _airflow_namespace(variables: Mapping[str, str]) -> str:
    """Asks Airflow's provider only inside an Airflow process: it may be set in a file.

    A variable comes first, as it does for Airflow.
    """
    if namespace := variables.get("AIRFLOW__OPENLINEAGE__NAMESPACE"):
        return namespace
    if "airflow.sdk" in sys.modules:
        try:
            from airflow.providers.openlineage import conf
        except ImportError:
            pass
        else:
            return str(conf.namespace())
    return variables.get("OPENLINEAGE_NAMESPACE") or "default"
