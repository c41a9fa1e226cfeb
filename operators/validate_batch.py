"""ValidateBatchOperator: a batch is held against its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazaretto.operators.base import LazarettoOperator, batch_id, load_policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from lazaretto.stages.state import StageResult
    from lazaretto.workspace import Workspace


class ValidateBatchOperator(LazarettoOperator):
    """Checks every record of a batch against the policy's contract; keeps the findings beside it.

    Returns (XCom) the stage's result: ``batch``, ``summary`` (rows, failing rows, count per rule),
    ``uri`` of the findings. Failing records and a broken batch (a column is missing, a rule cannot
    run) do not fail the task: the gate holds them.

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

    def perform(self, workspace: Workspace, context: Context) -> StageResult:  # noqa: ARG002
        """Calls `lazaretto.stages.validate`."""
        from lazaretto.stages.validate import validate

        self.worked_on = batch_id(self.batch)
        return validate(workspace, self.worked_on, load_policy(self.policy))
