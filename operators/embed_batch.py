"""EmbedBatchOperator: a batch's records become vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazaretto.operators.base import LazarettoOperator, batch_id, load_policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from lazaretto.stages.state import StageResult
    from lazaretto.workspace import Workspace


class EmbedBatchOperator(LazarettoOperator):
    """Turns the records of a batch into vectors with the policy's encoder.

    Returns (XCom) the stage's result: ``batch``, ``summary``, ``uri`` of the vectors. An encoder
    that is not the reference's fails the task for good.

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
        """Calls `lazaretto.stages.embed`."""
        from lazaretto.stages.embed import embed

        self.worked_on = batch_id(self.batch)
        return embed(workspace, self.worked_on, load_policy(self.policy))
