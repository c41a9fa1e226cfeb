"""ValidateBatchOperator: a batch is checked against its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.operators.base import StageOperator

if TYPE_CHECKING:
    from lazaretto.ledger.events import BatchValidated
    from lazaretto.policy import Policy
    from lazaretto.stages.results import StageResult
    from lazaretto.storage.workspace import Workspace


class ValidateBatchOperator(StageOperator):
    """Checks every record of a batch against the policy's contract; keeps the failures beside it.

    Returns (XCom) the stage's result: ``batch``, ``summary`` (rows, failing rows, count per rule),
    ``uri`` of the failures. Failing records and a broken batch (a column is missing, a rule cannot
    run) do not fail the task: the gate holds them.

    Args:
        batch: id of a received batch, or the ``.output`` of the operator before. Templated.
        policy: policy file, or the policy as a mapping. Templated.

    Examples:
        >>> task = ValidateBatchOperator(
        ...     task_id="validate",
        ...     batch="{{ params.batch }}",
        ...     policy="policies/reviews.yaml",
        ... )
        >>> task.task_id
        'validate'
    """

    stage_name = "validate"

    def stage(
        self, workspace: Workspace, batch: str, policy: Policy
    ) -> StageResult[BatchValidated]:
        """Calls `lazaretto.stages.validate`."""
        from lazaretto.stages.validate import validate

        return validate(workspace, batch, policy)
