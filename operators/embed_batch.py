"""EmbedBatchOperator: a batch's records become vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.operators.base import StageOperator

if TYPE_CHECKING:
    from lazaretto.ledger.events import BatchEmbedded
    from lazaretto.policy import Policy
    from lazaretto.stages.results import StageResult
    from lazaretto.storage.workspace import Workspace


class EmbedBatchOperator(StageOperator):
    """Turns the records of a batch into vectors with the policy's encoder.

    Returns (XCom) the stage's result: ``batch``, ``summary``, ``uri`` of the vectors. An encoder
    that is not the reference's fails the task for good.

    Args:
        batch: id of a received batch, or the ``.output`` of the operator before. Templated.
        policy: policy file, or the policy as a mapping. Templated.

    Examples:
        >>> task = EmbedBatchOperator(
        ...     task_id="embed",
        ...     batch="{{ params.batch }}",
        ...     policy="policies/reviews.yaml",
        ... )
        >>> task.task_id
        'embed'
    """

    stage_name = "embed"

    def stage(self, workspace: Workspace, batch: str, policy: Policy) -> StageResult[BatchEmbedded]:
        """Calls `lazaretto.stages.embed`."""
        from lazaretto.stages.embed import embed

        return embed(workspace, batch, policy)
