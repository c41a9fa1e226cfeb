"""IngestBatchOperator: a small delivery's whole way in one task."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from lazaretto.operators import metrics
from lazaretto.operators.announcing import announce, with_record
from lazaretto.operators.assets import admitted
from lazaretto.operators.base import LazarettoOperator, load_policy
from lazaretto.operators.holding import hooks_of, tell_of_hold
from lazaretto.operators.receive_batch import last_entry, refusals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from airflow.sdk import Context

    from lazaretto.operators.holding import OnHold
    from lazaretto.policy import Policy
    from lazaretto.stages.ingest import Done, Ingestion
    from lazaretto.storage.workspace import Workspace


class IngestBatchOperator(LazarettoOperator):
    """Receives, validates, embeds, screens, judges and admits a delivery in one task.

    For feeds of many small files: most of what six tasks take for a small delivery is the start of
    six processes. The ledger, the lineage and the dataset get what the six operators would give
    them, and a task that broke off goes on where it stopped when it is tried again. Take the six
    where a stage needs a machine, a pool or retries of its own, or where one shall be seen and
    cleared by itself.

    Returns (XCom) ``batch`` (the id), ``judgement`` and ``admission``, as `QuarantineGateOperator`
    and `AdmitBatchOperator` return them. A refused delivery fails the task for good. When the batch
    is held, or judged in shadow, or nothing of it is left to admit, the task is *skipped*, so that
    no asset event starts a training on nothing new; what it returns can be read all the same. A
    task behind it whose trigger rule lets it run after a skipped one, such as ``all_done``, does
    run: what trains belongs into a DAG that the asset starts.

    The task has the asset `lazaretto.operators.admitted` of its dataset as outlet; its events carry
    ``{dataset, version, batch, rows}``, once for each version. A mapped task needs
    ``outlets=[admitted(name)]`` in ``partial()``, because Airflow reads a mapped task's outlets
    before there is a task.

    The log has one line for each stage. What is held is told as `QuarantineGateOperator` tells it,
    also to `on_hold`.

    Args:
        uri: the delivery: path or URI of a Parquet, Arrow, CSV or JSON Lines file, of a folder of
            such files or of images, of a tar archive of images, or of several files, such as
            ``drop/*.csv``; or a list of files that are one delivery. In one of the policy's
            `sources.places`. Airflow shows it, so give it no credentials. Templated.
        source: name of the registered source. Templated.
        dataset: name of the admitted dataset, as in the policy.
        policy: policy file, or the policy as a mapping; it must name places. Templated.
        manifest: path or URI of the DSSE envelope, in the same places, or the envelope itself;
            empty: the file beside the delivery, under its name and ``.manifest.json``, if there is
            one. Templated.
        on_hold: callback or notifier, or several, for when anything is held; see
            `QuarantineGateOperator`.

    Examples:
        >>> task = IngestBatchOperator(
        ...     task_id="ingest",
        ...     uri="{{ params.uri }}",
        ...     source="vendor",
        ...     dataset="reviews",
        ...     policy="policies/reviews.yaml",
        ... )
        >>> task.task_id
        'ingest'
    """

    stage_name = "ingest"
    template_fields: Sequence[str] = (
        "uri",
        "source",
        "manifest",
        "policy",
        *LazarettoOperator.template_fields,
    )

    def __init__(
        self,
        *,
        uri: str | Sequence[str],
        source: str,
        dataset: str,
        policy: str | Mapping[str, Any],
        manifest: str | None = None,
        on_hold: OnHold | Sequence[OnHold] | None = None,
        **kwargs: Any,
    ) -> None:
        asset = admitted(dataset)  # refuses a name that cannot be a dataset's
        kwargs.setdefault("outlets", [asset])
        super().__init__(**with_record(kwargs))
        self.uri = uri
        self.source = source
        self.dataset = dataset
        self.policy = policy
        self.manifest = manifest
        self.on_hold = hooks_of(on_hold)

    def perform(self, workspace: Workspace, context: Context) -> Ingestion:
        """Calls `lazaretto.stages.ingest`.

        Raises:
            AirflowSkipException: nothing is admitted.
            UsageError: the policy is for another dataset.
        """
        from lazaretto.dataset.admission import Admission
        from lazaretto.errors import AdmissionRefusedError, DeliveryError
        from lazaretto.stages.ingest import ingest
        from lazaretto.stages.judgement import Judgement
        from lazaretto.values import BatchRef

        policy = self._policy()
        before = last_entry(workspace)

        started: dict[str, datetime] = {}

        def working(stage: str) -> AbstractContextManager[None]:
            started[stage] = datetime.now(UTC)
            return metrics.timed(stage)

        def done(stage: str, result: Done, seqs: list[int]) -> None:
            """What is on record is told at once: a later stage may fail."""
            self.began |= {seq: started[stage] for seq in seqs if seq not in self.ledger_entries}
            self.ledger_entries = seqs
            self.tell(workspace, stage, result)
            if isinstance(result, BatchRef):
                self.worked_on = result.id
            elif isinstance(result, Judgement):
                made_now = result.seq > before
                if made_now:
                    metrics.count_judgement(result)
                metrics.tell_queue(workspace)
                tell_of_hold(self, workspace, context, result, self.on_hold, made_now=made_now)
            elif isinstance(result, Admission) and result.rows and result.seqs[-1] > before:
                metrics.count_admission(result)

        try:
            found = ingest(
                workspace,
                self.uri,
                self.source,
                policy,
                manifest=self.manifest or None,
                beside=True,
                places_required=True,
                working=working,
                done=done,
            )
        except AdmissionRefusedError as error:
            self.ledger_entries += [] if error.seq is None else [error.seq]
            raise
        except DeliveryError:
            self.ledger_entries += refusals(workspace, self.source, after=before)
            raise
        nothing = _why_nothing(found)
        if nothing is not None:
            from lazaretto.values import to_json

            # The exception takes the place of a return value, and a review waits for the batch.
            context["ti"].xcom_push(key="return_value", value=to_json(self.reference(found)))
            raise AirflowSkipException(nothing)
        if found.admission is not None:
            announce(self, workspace, context, found.admission)
        return found

    def reference(self, result: Ingestion) -> object:
        """The batch's id, what the gate decided, and what was admitted."""
        return {
            "batch": result.received.id,
            "judgement": result.judgement,
            "admission": result.admission,
        }

    def _policy(self) -> Policy:
        from lazaretto.errors import UsageError

        policy = load_policy(self.policy)
        if policy.dataset != self.dataset:
            raise UsageError(
                f"the policy is for dataset {policy.dataset!r}, and this task announces "
                f"{self.dataset!r}: give both the same name"
            )
        return policy


def _why_nothing(found: Ingestion) -> str | None:
    """Why nothing of the delivery is in the dataset, in words; None where something is."""
    judged, admission = found.judgement, found.admission
    if judged.shadow is not None:
        return f"{judged.batch}: {judged.shadow}"
    if admission is None:
        return f"{judged.batch} is held: {judged.verdict}"
    if admission.recalled and not admission.rows:
        return f"{judged.batch} was admitted, and recalled: {admission.recalled}"
    return None if admission.rows else f"nothing of {judged.batch} to admit"
