"""What a task put on record, for lineage: in Airflow's event of it, and as Lazaretto's own."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import InputDataset
    from openlineage.client.transport import Transport

    from lazaretto.lineage import Drained, Parent
    from lazaretto.storage.workspace import Workspace

_SECONDS_TO_CLOSE = 2.0
_log = logging.getLogger(__name__)


def of_task(
    workspace: Workspace, seqs: Sequence[int], batch: str | None
) -> OperatorLineage[Any, Any] | None:
    """What Airflow's OpenLineage event of a task says; None where Airflow sends none.

    A task that put nothing on record (it failed, or admitted nothing) only read its batch. That
    must be said: of a task that says nothing, Airflow reports the declared outlets as written.

    Args:
        workspace: catalog and store.
        seqs: the ledger entries that the task wrote.
        batch: the batch that it worked on.
    """
    if not _airflow_reports():
        return None
    from airflow.providers.openlineage.extractors import OperatorLineage

    try:
        if seqs:
            from lazaretto.lineage import operator_lineage

            return operator_lineage(workspace, seqs)
        return OperatorLineage(inputs=[] if batch is None else [_as_input(workspace, batch)])
    except Exception as error:
        from lazaretto.redact import error_line

        _log.warning("no lineage of ledger entries %s: %s", list(seqs), error_line(error))
        return None


def _as_input(workspace: Workspace, batch: str) -> InputDataset:
    from openlineage.client.event_v2 import InputDataset
    from openlineage.client.facet_v2 import dataset_version_dataset

    from lazaretto.lineage.openlineage import naming

    namespace, name = naming.batches(workspace.store.root, naming.source_of(batch))
    version = dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=batch)
    return InputDataset(namespace=namespace, name=name, facets={"version": version})


def send(
    workspace: Workspace,
    task_instance: Any,
    seqs: Sequence[int],
    began: Mapping[int, datetime],
) -> None:
    """Sends ledger entries that no lineage backend has seen, those of this task as its children.

    Lineage stops no gate and keeps none waiting: a few entries are sent, for a few seconds.
    Whatever goes wrong is logged, and what is left stays in the ledger until the next task, a
    `FlushLineageOperator` or ``lazaretto lineage flush`` sends it.

    Args:
        workspace: catalog and store.
        task_instance: the running task's.
        seqs: the ledger entries that it wrote.
        began: when the work began that they tell of.
    """
    from lazaretto.lineage import IN_STAGE, flush

    try:
        with transport_of_airflow() as transport:
            flush(
                workspace,
                transport=transport,
                parent=_task_run(task_instance),
                seqs=seqs,
                began=began,
                bounds=IN_STAGE,
            )
    except Exception as error:
        # Not its text: a transport's error may quote a URL with a token.
        _log.warning("lineage events wait in the ledger: %s", type(error).__name__)


def send_all(workspace: Workspace, stalled: float) -> Drained:
    """Sends all ledger entries that no lineage backend has seen, and says what came of it.

    Args:
        workspace: catalog and store.
        stalled: seconds in which the backend must take an entry.

    Raises:
        SystemFaultError: the catalog cannot be reached.
    """
    from lazaretto.lineage import Bounds, drain

    with transport_of_airflow() as transport:
        return drain(workspace, transport=transport, bounds=Bounds(stalled=stalled))


def _airflow_reports() -> bool:
    """Whether Airflow's OpenLineage provider is there, and switched on."""
    try:
        from airflow.providers.openlineage import conf
    except ImportError:
        return False
    return not conf.is_disabled()


@contextmanager
def transport_of_airflow() -> Iterator[Transport | None]:
    """What Airflow's ``[openlineage]`` section names; None: Lazaretto looks for itself."""
    if not _airflow_reports():
        yield None
        return
    from airflow.providers.openlineage.plugins.adapter import OpenLineageAdapter

    from lazaretto.lineage.openlineage.send import in_background

    transport: Transport = OpenLineageAdapter().get_or_create_openlineage_client().transport
    try:
        yield transport
    finally:
        # What it could deliver it has; closing one whose backend hangs can take minutes.
        in_background(partial(transport.close, timeout=0)).join(_SECONDS_TO_CLOSE)


def _task_run(task_instance: Any) -> Parent | None:
    """The run by which Airflow's OpenLineage provider reports this task, and that of its DAG."""
    if not _airflow_reports():
        return None
    from airflow.providers.openlineage.plugins.macros import (
        lineage_parent_id,
        lineage_root_parent_id,
    )

    from lazaretto.lineage import Parent

    return Parent.parse(lineage_parent_id(task_instance), lineage_root_parent_id(task_instance))
