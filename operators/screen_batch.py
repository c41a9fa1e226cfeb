"""ScreenBatchOperator: a batch is screened against the trusted reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazaretto.operators.base import LazarettoOperator, batch_id, load_policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from lazaretto.stages.state import StageResult
    from lazaretto.workspace import Workspace


class ScreenBatchOperator(LazarettoOperator):
    """Screens the records of a batch in embedding space against the policy's frozen reference.

    Returns (XCom) the stage's result: ``batch``, ``summary`` (verdict, rows, held), ``uri`` of the
    scores. A missing reference fails the task for good; too few calibration records make the gate
    hold the batch.

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
        """Calls `lazaretto.stages.screen`."""
        from lazaretto.stages.screen import screen

        self.worked_on = batch_id(self.batch)
        return screen(workspace, self.worked_on, load_policy(self.policy))
