"""AdmitBatchOperator: what was not held enters the dataset, and the asset tells who trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk.exceptions import AirflowSkipException

from lazaretto.operators import metrics
from lazaretto.operators.announcing import announce, with_record
from lazaretto.operators.assets import admitted
from lazaretto.operators.base import LazarettoOperator, batch_id, load_policy
from lazaretto.operators.receive_batch import last_entry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from lazaretto.dataset.admission import Admission
    from lazaretto.policy import Policy
    from lazaretto.storage.workspace import Workspace


class AdmitBatchOperator(LazarettoOperator):
    """Writes the cleared records of a judged batch, or what reviewers released, into the dataset.

    Only the verdict of the policy that is in force for the dataset admits. Where that asks for two
    people, no task publishes what was released: a task is nobody whom something authenticated.

    Returns (XCom) the admission: ``batch``, ``dataset``, ``uri``, ``version``, ``rows``. Doing it
    again gives the same version and no second row. With nothing to admit, or when all of it was
    recalled since, the task is skipped, so that no asset event starts a training on nothing new.

    The task has the asset `lazaretto.operators.admitted` of its dataset as outlet; its events carry
    ``{dataset, version, batch, rows}``. Each version is announced once: a task that is cleared and
    admits nothing new succeeds without an event.

    A mapped task needs ``outlets=[admitted(name)]`` in ``partial()``, because Airflow reads the
    outlets of a mapped task before there is a task.

    Args:
        batch: id of a judged batch, or the ``.output`` of the operator before. Templated.
        dataset: name of the admitted dataset, as in the policy.
        part: ``cleared`` for what the gate did not hold, ``released`` for what reviewers decided.
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
        """Calls `lazaretto.stages.admit`, or publishes the reviewers' decisions.

        Raises:
            AirflowSkipException: there is nothing to admit.
            AdmissionRefusedError: the batch was not judged for this dataset, or by another policy
                than the one in force, or the policy is another dataset's; it is on record.
            UsageError: what was released is to be published by another dataset's policy.
        """
        from lazaretto.errors import AdmissionRefusedError

        batch = self.worked_on = batch_id(self.batch)
        before = last_entry(workspace)
        policy = load_policy(self.policy) if self.policy else None
        try:
            if self.part == "released":
                _require_dataset(policy, self.dataset)
                admission = _publish(workspace, batch, self.dataset)
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
            raise AirflowSkipException(f"nothing of {batch} to admit ({self.part})")
        if admission.seqs and admission.seqs[-1] > before:
            metrics.count_admission(admission)
        announce(self, workspace, context, admission)
        return admission


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


def _publish(workspace: Workspace, batch: str, dataset: str) -> Admission | None:
    """Publishes every case of the batch, and counts them as one admission."""
    from dataclasses import replace

    from lazaretto.quarantine.outcome import cases_of
    from lazaretto.quarantine.review import publish

    done: list[Admission] = []
    for case in cases_of(workspace, batch):
        if case.dataset != dataset:  # the same delivery, judged for another dataset
            continue
        if (admission := publish(workspace, case.id)) is not None:
            done.append(admission)
    if not done:
        return None
    rows = sum(admission.rows for admission in done)
    return replace(done[-1], rows=rows, seqs=[seq for one in done for seq in one.seqs])
