"""ScreenBatchOperator: a batch is screened against the trusted reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.operators.base import StageOperator

if TYPE_CHECKING:
    from lazaretto.ledger.events import BatchScreened
    from lazaretto.policy import Policy
    from lazaretto.stages.results import StageResult
    from lazaretto.storage.workspace import Workspace


class ScreenBatchOperator(StageOperator):
    """Screens the records of a batch in embedding space against the policy's frozen reference.

    Returns (XCom) the stage's result: ``batch``, ``summary`` (verdict, rows, held), ``uri`` of the
    scores. A missing reference fails the task for good; too few calibration records make the gate
    hold the batch.

    Args:
        batch: id of a received batch, or the ``.output`` of the operator before. Templated.
        policy: policy file, or the policy as a mapping. Templated.

    Examples:
        >>> task = ScreenBatchOperator(
        ...     task_id="screen",
        ...     batch="{{ params.batch }}",
        ...     policy="policies/reviews.yaml",
        ... )
        >>> task.task_id
        'screen'
    """

    stage_name = "screen"

    def stage(self, workspace: Workspace, batch: str, policy: Policy) -> StageResult[BatchScreened]:
        """Calls `lazaretto.stages.screen`."""
        from lazaretto.stages.screen import screen

        return screen(workspace, batch, policy)
