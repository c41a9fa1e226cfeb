"""What every operator shares: workspace, permanent and passing faults, lineage, link."""

from __future__ import annotations

import re
import traceback
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from lazaretto.operators import metrics
from lazaretto.operators.deploying import deployed
from lazaretto.operators.hook import DEFAULT_CONNECTION, LazarettoHook
from lazaretto.operators.links import CaseLink
from lazaretto.operators.telling import stage_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import BaseNotifier, Context

    from lazaretto.policy import Policy
    from lazaretto.storage.workspace import Workspace

_MOST_OF_A_TRACEBACK = 20_000
_BATCH = re.compile(r"\S+/[0-9a-f]{32}")


class LazarettoOperator(BaseOperator):
    """Base of the operators: a subclass says in `perform` which one function it calls.

    A refused delivery and a caller's mistake fail the task for good, because a retry cannot mend
    them; an unreachable store or catalog fails it in a way that Airflow retries. Airflow prints an
    error with all errors behind it, as they are, so each leaves a task as one of Airflow's, with
    its text escaped and without credentials. Whatever the function wrote to the ledger goes out as
    lineage: what was read with Airflow's own event of the task, and what was written with
    Lazaretto's, as runs within the task's. One line of the log
    says what the stage found, and how long it took goes to Airflow's metrics.

    A file of the store, a dataset's table or a row of the catalog that was changed by hand fails
    the task for good: nothing of it was used, it is on the ledger, and the notifiers are called.
    Once it is restored, clear the task.

    Args:
        lazaretto_conn_id: Airflow connection that says where catalog and store are.
        notifiers: called when something stored was changed; their templates know ``{{ alarm }}``,
            the error's words.
    """

    template_fields: Sequence[str] = ("lazaretto_conn_id",)
    operator_extra_links = (CaseLink(),)
    ui_color = "#f6e7b4"
    stage_name: str = ""

    def __init__(
        self,
        *,
        lazaretto_conn_id: str = DEFAULT_CONNECTION,
        notifiers: Sequence[BaseNotifier] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.lazaretto_conn_id = lazaretto_conn_id
        self.notifiers = notifiers
        self.worked_on: str | None = None
        self.announces: tuple[str, int, int] | None = None
        self.ledger_entries: list[int] = []
        self.began: dict[int, datetime] = {}
        self.started: datetime | None = None
        self.lineage: OperatorLineage[Any, Any] | None = None

    def perform(self, workspace: Workspace, context: Context) -> Any:
        """Calls the stage's function and returns its result, which says its ledger entries."""
        raise NotImplementedError

    def execute(self, context: Context) -> Any:
        """Runs the stage and returns its result as JSON values."""
        from lazaretto.lazy import few_collections
        from lazaretto.values import to_json

        with self.speaking_plainly(context), few_collections():
            workspace = replace(self.open_workspace(), deploy=deployed(self, context))
            self.started = datetime.now(UTC)
            try:
                with metrics.timed(self.stage_name):
                    result = self.perform(workspace, context)
                self.tell(workspace, self.stage_name, result)
                self.ledger_entries = ledger_entries(result)
            finally:
                self.report_lineage(workspace, context)
            return to_json(self.reference(result))

    def tell(self, workspace: Workspace, stage: str, result: object) -> None:
        """Writes the one line of the log that says what a stage found."""
        line = stage_line(workspace, stage, result)
        self.log.info(line.text, **line.fields)

    def reference(self, result: Any) -> object:
        """What of a result travels to the next task."""
        return as_reference(result)

    @contextmanager
    def speaking_plainly(self, context: Context) -> Iterator[None]:
        """Turns every error into one of Airflow's that can be printed; the way to it is logged.

        Raises:
            AirflowFailException: a refused delivery, a caller's mistake, or something stored was
                changed: there is no retry.
            AirflowException: any other error; Airflow's own pass as they are.
        """
        from lazaretto.errors import (
            ChangedDatasetError,
            ChangedFileError,
            ChangedStateError,
            DeliveryError,
            UsageError,
        )
        from lazaretto.redact import error_line, safe_text

        try:
            yield
        except AirflowException:
            raise
        except (ChangedDatasetError, ChangedFileError, ChangedStateError) as error:
            for notifier in self.notifiers:
                notifier({**context, "alarm": str(error)})
            raise AirflowFailException(str(error)) from None
        except (DeliveryError, UsageError) as error:
            if isinstance(error, DeliveryError):
                metrics.count_refusal(error.code)
            raise AirflowFailException(str(error)) from None
        except Exception as error:
            self.log.error("%s", safe_text(traceback.format_exc(), limit=_MOST_OF_A_TRACEBACK))
            raise AirflowException(error_line(error, limit=1000)) from None

    def open_workspace(self) -> Workspace:
        """Opens catalog and store by the connection; nothing stays open between the calls.

        Whatever is put on record was done by this task, by its names in the DAG's code: nothing
        that a run is started with names anybody.
        """
        from lazaretto.values import Actor, ActorType

        actor = Actor(ActorType.SERVICE, f"airflow:{self.dag_id}.{self.task_id}"[:255])
        return LazarettoHook(self.lazaretto_conn_id).workspace(actor)

    def report_lineage(self, workspace: Workspace, context: Context) -> None:
        """Works out what Airflow's event of this task will say, and sends Lazaretto's own."""
        from lazaretto.operators.outbox import of_task, send

        self.lineage = of_task(workspace, self.ledger_entries, self.worked_on)
        began = {} if self.started is None else dict.fromkeys(self.ledger_entries, self.started)
        send(workspace, context["ti"], self.ledger_entries, began | self.began)

    def get_openlineage_facets_on_complete(
        self,
        task_instance: Any,  # noqa: ARG002
    ) -> OperatorLineage[Any, Any] | None:
        """What Airflow's OpenLineage event of this task says, from the ledger entries it wrote.

        Airflow asks in a forked child, where neither the catalog's connections nor the channel to
        Airflow's API may be used: the answer was worked out before, in the task.
        """
        return self.lineage

    def get_openlineage_facets_on_failure(
        self, task_instance: Any
    ) -> OperatorLineage[Any, Any] | None:
        """The same for a failed task: a refusal is a ledger entry too."""
        return self.get_openlineage_facets_on_complete(task_instance)


class StageOperator(LazarettoOperator):
    """Base of the operators that do one stage of a batch's way by the policy.

    Args:
        batch: id of a received batch, or the ``.output`` of the operator before. Templated.
        policy: policy file, or the policy as a mapping. Templated.
    """

    template_fields: Sequence[str] = ("batch", "policy", *LazarettoOperator.template_fields)

    def __init__(
        self, *, batch: str | Mapping[str, Any], policy: str | Mapping[str, Any], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.batch = batch
        self.policy = policy

    def perform(self, workspace: Workspace, context: Context) -> Any:  # noqa: ARG002
        """Does the stage on the batch."""
        self.worked_on = batch_id(self.batch)
        return self.stage(workspace, self.worked_on, load_policy(self.policy))

    def stage(self, workspace: Workspace, batch: str, policy: Policy) -> Any:
        """Calls the stage's function and returns its result."""
        raise NotImplementedError


def ledger_entries(result: object) -> list[int]:
    """The sequence numbers of the ledger entries that a stage's result names."""
    seqs = getattr(result, "seqs", None)
    return list(seqs) if seqs is not None else [result.seq]  # type: ignore[attr-defined]


def as_reference(result: object) -> object:
    """What travels to the next task: of a stage's result its ledger entry, and what it says."""
    from lazaretto.stages.results import StageResult
    from lazaretto.stages.told import told

    if not isinstance(result, StageResult):
        return result
    return {
        "batch": result.batch,
        "stage": result.stage,
        "seq": result.seq,
        "summary": told(result),
    }


def batch_id(batch: str | Mapping[str, Any]) -> str:
    """The batch's id, from an id or from what an upstream operator returned.

    Raises:
        UsageError: neither.
    """
    from lazaretto.errors import UsageError
    from lazaretto.text import excerpt

    found = batch if isinstance(batch, str) else batch.get("batch") or batch.get("id")
    if not isinstance(found, str) or not _BATCH.fullmatch(found):
        raise UsageError(
            f"not a batch: {excerpt(batch)!r}; give an id, {{source}}/{{digest}}, or"
            " the `.output` of an operator; a template renders a dict to text, so there write"
            " {{ ti.xcom_pull('receive')['id'] }}"
        )
    return found


def snapshot_of(snapshot: str | Mapping[str, Any]) -> tuple[str, int]:
    """Dataset and version, from ``dataset@version`` or what `SnapshotTrainingOperator` returned.

    Raises:
        UsageError: neither.
    """
    from lazaretto.dataset.views import version_of

    dataset, identity = snapshot_name(snapshot)
    return dataset, version_of(identity)


def snapshot_name(snapshot: str | Mapping[str, Any]) -> tuple[str, str]:
    """The same with the id of the snapshot: its version, or that of a view that leaves batches out.

    Raises:
        UsageError: neither.
    """
    from lazaretto.errors import UsageError
    from lazaretto.text import excerpt

    if isinstance(snapshot, str):
        dataset, _, version = snapshot.rpartition("@")
    else:
        version = str(snapshot.get("view") or snapshot.get("version"))
        dataset = str(snapshot.get("dataset", ""))
    if not dataset or not version[:1].isdecimal():
        raise UsageError(
            f"not a snapshot: {excerpt(snapshot)!r}; give dataset@version or the `.output` of the"
            " SnapshotTrainingOperator"
        )
    return dataset, version


def load_policy(policy: str | Mapping[str, Any]) -> Policy:
    """Reads a policy from its file, or takes it as a mapping.

    Raises:
        PolicyError: it is not valid.
    """
    from pydantic import ValidationError

    from lazaretto.errors import PolicyError
    from lazaretto.policy import Policy

    if isinstance(policy, str):
        return Policy.load(policy)
    try:
        return Policy.model_validate(policy)
    except ValidationError as error:
        raise PolicyError(f"the operator's policy is not valid: {error}") from error
