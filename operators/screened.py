"""@task.screened: what a function returns is delivered, and goes through the gate."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.bases.decorator import DecoratedOperator, task_decorator_factory
from airflow.sdk.exceptions import AirflowSkipException

from lazaretto.operators.ingest_batch import IngestBatchOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow.sdk import Context
    from airflow.sdk.bases.decorator import TaskDecorator

    from lazaretto.stages.deliver import Delivered
    from lazaretto.stages.ingest import Ingestion
    from lazaretto.storage.workspace import Workspace

_MOST_OF_A_KEY = 16_384


class ScreenedOperator(DecoratedOperator, IngestBatchOperator):
    """Delivers the table that a function returns, and does what `IngestBatchOperator` does with it.

    Use it as ``@task.screened``, for records that come from a database or an API rather than as a
    file. The table is written as a Parquet file into a place of the source, named by its content.
    So the same records again, as on a retry, are the same batch, and nothing is admitted twice. A
    function that reads what changes should read by the run's data interval.

    A function that returns None or no record skips the task, and nothing is on record.

    Args:
        python_callable: the function; it may take what Airflow's ``@task`` functions take. It
            returns a table as of `lazaretto.stages.deliver`: of pyarrow, polars or pandas.
        source: name of the registered source that the records come from. Templated.
        dataset: name of the admitted dataset, as in the policy.
        policy: policy file, or the policy as a mapping; it must name places. Templated.
        key: file with the source's private key (PEM), readable for the worker alone; needed where
            the policy requires a signature. Templated.
        deliver_to: folder or URI, in the policy's places, to write to; empty: the first place.
            Templated.
        on_hold: callback or notifier, or several, for when anything is held.

    Examples:
        >>> @screened_task(source="shop", dataset="reviews", policy="policies/reviews.yaml")
        ... def reviews():
        ...     import pyarrow as pa
        ...
        ...     return pa.table({"id": ["a"], "label": ["good"]})
        >>> reviews.operator_class.custom_operator_name
        '@task.screened'
    """

    custom_operator_name = "@task.screened"
    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        "source",
        "policy",
        "key",
        "deliver_to",
        "lazaretto_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"op_args": "py", "op_kwargs": "py"}
    # A function cannot always be copied, and is not changed.
    shallow_copy_attrs: Sequence[str] = ("python_callable",)

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Sequence[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        key: str | None = None,
        deliver_to: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            uri="",  # known once the function has returned
            **kwargs,
        )
        self.key = key
        self.deliver_to = deliver_to

    def perform(self, workspace: Workspace, context: Context) -> Ingestion:
        """Calls the function, delivers what it returned, and ingests the delivery.

        Raises:
            AirflowSkipException: there are no records, or nothing is admitted.
            UsageError: it returned no table, or the delivery cannot be written or signed.
        """
        delivered = self._deliver(context)
        if delivered is None:
            raise AirflowSkipException(f"{self.python_callable.__name__}() returned no records")
        self.log.info("delivered %d records as %s", delivered.rows, delivered.uri)
        self.uri, self.manifest = delivered.uri, delivered.manifest
        return super().perform(workspace, context)

    def _deliver(self, context: Context) -> Delivered | None:
        from lazaretto.stages.deliver import deliver, require_key

        policy, started = self._policy(), datetime.now(UTC)
        key = _read_key(self.key)
        require_key(policy, self.source, key)  # before the function does its work
        arguments = self.determine_kwargs({**context, **self.op_kwargs})
        table = self.python_callable(*self.op_args, **arguments)
        if table is None:
            return None
        return deliver(
            table,
            self.source,
            policy,
            folder=self.deliver_to or "",
            name=f"{_as_name(self.dag_id)}/{_as_name(self.task_id)}",
            collected_from=context.get("data_interval_start") or started,
            collected_to=context.get("data_interval_end") or datetime.now(UTC),
            private_key=key,
        )


def screened_task(
    python_callable: Callable[..., Any] | None = None, **kwargs: Any
) -> TaskDecorator:
    """The decorator ``@task.screened``; its arguments are those of `ScreenedOperator`.

    Examples:
        >>> screened_task(source="shop", dataset="reviews", policy="reviews.yaml") is not None
        True
    """
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=False,
        decorated_operator_class=ScreenedOperator,
        **kwargs,
    )


def _read_key(path: str | None) -> bytes | None:
    """The private key of a file.

    Raises:
        UsageError: it cannot be read.
    """
    if not path:
        return None
    from pathlib import Path

    from lazaretto.errors import UsageError

    try:
        with Path(path).open("rb") as file:
            return file.read(_MOST_OF_A_KEY)
    except OSError as error:
        raise UsageError(f"the key {path!r} cannot be read: {error.strerror}") from error


def _as_name(text: str) -> str:
    """A DAG's or task's id as the name of a folder."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".-") or "task"
