"""SanitizeTrainingOperator: poison that passed the gate shows in a trained model's activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazaretto.operators.base import LazarettoOperator, load_policy, snapshot_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from lazaretto.stages.sanitize_training import SanitizeResult
    from lazaretto.workspace import Workspace


class SanitizeTrainingOperator(LazarettoOperator):
    """Runs a snapshot through the model that it trained, holds what stands out, and recalls it.

    Returns (XCom) the result: ``dataset``, ``version``, ``held``, the case and the recall. Recalled
    records are absent from the next version of the dataset, and the model versions that saw them
    are marked.

    Args:
        snapshot: what `SnapshotTrainingOperator` returned (its ``.output``), or
            ``dataset@version``. Templated.
        load_model: import path ``module:function`` of your function that takes the weights' path
            and returns the ``torch.nn.Module``. It is code of yours that the worker runs, so it is
            not templated.
        weights: path or URI of the weights, handed to that function. Templated.
        policy: policy file, or the policy as a mapping. Templated.
        model: ``name@version`` to put on record; default: what was registered on this snapshot, so
            register first. Templated.
        inputs: what the model reads of a row, see `lazaretto.capture`; default: the embedding.
        device: torch device of the worker.
    """

    template_fields: Sequence[str] = (
        "snapshot",
        "weights",
        "policy",
        "model",
        *LazarettoOperator.template_fields,
    )

    def __init__(
        self,
        *,
        snapshot: str | Mapping[str, Any],
        load_model: str,
        weights: str,
        policy: str | Mapping[str, Any],
        model: str | None = None,
        inputs: Any = None,
        device: str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.snapshot = snapshot
        self.load_model = load_model
        self.weights = weights
        self.policy = policy
        self.model = model
        self.inputs = inputs
        self.device = device

    def perform(self, workspace: Workspace, context: Context) -> SanitizeResult:  # noqa: ARG002
        """Calls `lazaretto.stages.sanitize_training`."""
        from pkgutil import resolve_name

        from lazaretto.stages.sanitize_training import sanitize_training

        dataset, version = snapshot_of(self.snapshot)
        return sanitize_training(
            workspace,
            dataset,
            resolve_name(self.load_model)(self.weights),
            load_policy(self.policy),
            version=version,
            name=self.model,
            inputs=self.inputs,
            device=self.device,
        )
