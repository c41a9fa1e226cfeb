"""AdmitBatchOperator: what was not held enters the dataset, and the asset tells who trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk.exceptions import AirflowSkipException

from lazaretto.operators import metrics
from lazaretto.operators.announcing import announce, with_record
from lazaretto.operators.assets import admitted
from lazaretto.operators.base import LazarettoOperator, batch_id, load_policy
from lazaretto.operators.links import page_url
from lazaretto.operators.receive_batch import last_entry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from lazaretto.dataset.admission import Admission
    from lazaretto.policy import Policy
    from lazaretto.storage.workspace import Workspace


class AdmitBatchOperator(LazarettoOperator):
    """Writes the cleared records of a judged batch into the dataset, or tells what was published.

    Only the verdict of the policy that is in force for the dataset admits. What was held is not
    this task's to admit: people publish what they released, on the review page or the command line,
    and until then they can undo it. With ``part="released"`` the task publishes nothing; it returns
    what people have published, and announces it where nobody did yet. Put it behind an
    `AwaitReviewOperator`, which waits for them.

    Returns (XCom) the admission: ``batch``, ``dataset``, ``uri``, ``version``, ``rows``. Doing it
    again gives the same version and no second row. With nothing to admit, nothing published, or
    when all of it was recalled since, the task is skipped, so that no asset event starts a training
    on nothing new.

    The task has the asset `lazaretto.operators.admitted` of its dataset as outlet; its events carry
    ``{dataset, version, batch, rows}``. Each version is announced once: a task that is cleared and
    admits nothing new succeeds without an event.

    A mapped task needs ``outlets=[admitted(name)]`` in ``partial()``, because Airflow reads the
    outlets of a mapped task before there is a task.

    Args:
        batch: id of a judged batch, or the ``.output`` of the operator before. Templated.
        dataset: name of the admitted dataset, as in the policy.
        part: ``cleared`` for what the gate did not hold, ``released`` for what people published.
        policy: policy file, or the policy as a mapping; default: the one in force. Templated.

    Examples:
        >>> task = AdmitBatchOperator(
        ...     task_id="admit",
        ...     batch="{{ params.batch }}",
        ...     dataset="reviews",
        ... )
        >>> task.task_id
        'admit'
    """

    stage_name = "admit"
    template_fields: Sequence[str] = ("batch", "policy", *LazarettoOperator.template_fields)

    def __init__(
        self,
        *,
        batch: str | Mapping[str, Any],
        dataset: str,
        part: Literal["cleared", "released"] = "cleared",
        policy: str | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        asset = admitted(dataset)  # refuses a name that cannot be a dataset's
        kwargs.setdefault("outlets", [asset])
        super().__init__(**with_record(kwargs))
        self.batch = batch
        self.dataset = dataset
        self.part = part
        self.policy = policy

    def perform(self, workspace: Workspace, context: Context) -> Admission:
        """Calls `lazaretto.stages.admit`, or looks what people have published.

        Raises:
            AirflowSkipException: there is nothing to admit.
            AdmissionRefusedError: the batch was not judged for this dataset, or by another policy
                than the one in force, or the policy is another dataset's; it is on record.
            UsageError: what was released is asked for by another dataset's policy.
        """
        from lazaretto.errors import AdmissionRefusedError

        batch = self.worked_on = batch_id(self.batch)
        before = last_entry(workspace)
        policy = load_policy(self.policy) if self.policy else None
        try:
            if self.part == "released":
                _require_dataset(policy, self.dataset)
                admission = self._published(workspace, batch)
            else:
                admission = _admit(workspace, batch, self.dataset, policy)
        except AdmissionRefusedError as error:
            self.ledger_entries = [] if error.seq is None else [error.seq]
            raise
        if admission is not None and not admission.rows:
            self.tell(workspace, self.stage_name, admission)
        if admission is not None and admission.recalled and not admission.rows:
            raise AirflowSkipException(f"{batch} was admitted, and recalled: {admission.recalled}")
        if admission is None or not admission.rows:
            what = "was published" if self.part == "released" else "is cleared"
            raise AirflowSkipException(f"nothing of {batch} {what}")
        new = announce(self, workspace, context, admission)
        made_now = bool(admission.seqs) and admission.seqs[-1] > before
        # Another task may have taken it along; nobody has told, or counted, it yet.
        if made_now or (new and self.part == "cleared"):
            metrics.count_admission(admission)
        return admission

    def _published(self, workspace: Workspace, batch: str) -> Admission | None:
        from lazaretto.quarantine.outcome import find_published

        published = find_published(workspace, batch, self.dataset)
        if published.waiting:
            self.log.warning(
                "%s: %s released records wait for somebody to publish them, and can be undone "
                "until then: %s",
                batch,
                published.waiting,
                page_url(batch),
            )
        return published.admission


def _admit(
    workspace: Workspace, batch: str, dataset: str, policy: Policy | None
) -> Admission | None:
    from lazaretto.stages.admit import admit

    return admit(workspace, batch, dataset, policy=policy)


def _require_dataset(policy: Policy | None, dataset: str) -> None:
    from lazaretto.errors import UsageError

    if policy is not None and policy.dataset != dataset:
        raise UsageError(
            f"the policy is for dataset {policy.dataset!r}, and this task admits into {dataset!r}: "
            "give both the same name"
        )
