"""SanitizeTrainingOperator: poison that passed the gate shows in a trained model's activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazaretto.operators.base import LazarettoOperator, load_policy, snapshot_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from lazaretto.stages.sanitize_result import SanitizeResult
    from lazaretto.stages.taken import Snapshot
    from lazaretto.storage.workspace import Workspace


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
            not templated; neither are `inputs` and `retrain`.
        weights: path or URI of the weights, handed to that function. Templated.
        policy: policy file, or the policy as a mapping. Templated.
        model: ``name@version`` to put on record; default: what was registered on this snapshot, so
            register first. Templated.
        inputs: what the model reads of a row: a column, columns, or the import path
            ``module:function`` of your function from an Arrow record batch to the model's input;
            default: the embedding.
        dynamics: path of the file that `lazaretto.training.record_dynamics` wrote while the model
            was trained: how each record was learned. It is read where there are no trusted rows.
            Templated.
        trusted: rows to judge against: ``reference``, path or bucket URI of a file of them, or
            ``none`` to judge without, and then no rate is promised; default: the policy's.
            Templated.
        retrain: import path ``module:function`` of your function that takes the snapshot without
            the held records, trains on it, and returns path or URI of the new weights. The new
            model is compared with the old; see ``comparison`` in what is returned. It is called
            only when records were held.
        retrained: ``name@version`` to register the new model as. Templated.
        held_out: path or URI of rows to compare on; default: the trusted ones. Templated.
        classes: class names in the order of the model's outputs, for the comparison; default: what
            the model carries, or what its labels say.
        device: torch device of the worker.

    Examples:
        >>> task = SanitizeTrainingOperator(
        ...     task_id="sanitize",
        ...     snapshot="{{ params.snapshot }}",
        ...     policy="policies/reviews.yaml",
        ...     load_model="net:load",
        ...     weights="net.safetensors",
        ... )
        >>> task.task_id
        'sanitize'
    """

    stage_name = "sanitize"
    template_fields: Sequence[str] = (
        "snapshot",
        "weights",
        "policy",
        "model",
        "dynamics",
        "trusted",
        "retrained",
        "held_out",
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
        dynamics: str | None = None,
        trusted: str | None = None,
        retrain: str | None = None,
        retrained: str | None = None,
        held_out: str | None = None,
        classes: Sequence[str] | None = None,
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
        self.dynamics = dynamics
        self.trusted = trusted
        self.retrain = retrain
        self.retrained = retrained
        self.held_out = held_out
        self.classes = classes
        self.device = device

    def perform(self, workspace: Workspace, context: Context) -> SanitizeResult:  # noqa: ARG002
        """Calls `lazaretto.stages.sanitize_training`, then `retrain_and_compare`."""
        from pathlib import Path

        from lazaretto.errors import UsageError
        from lazaretto.stages.retrain import check_register, retrain_and_compare
        from lazaretto.stages.sanitize_training import sanitize_training
        from lazaretto.stages.trusted import read_trusted
        from lazaretto.stages.user_code import model_inputs, resolve

        if self.retrain is None and (self.retrained or self.held_out):
            raise UsageError("`retrained` and `held_out` go with `retrain`")
        check_register(self.retrained)
        dataset, version = snapshot_of(self.snapshot)
        policy = load_policy(self.policy)
        load = resolve(self.load_model, "load_model")
        again = resolve(self.retrain, "retrain") if self.retrain else None
        trusted, inputs = read_trusted(self.trusted, policy), model_inputs(self.inputs)
        model = load(self.weights)
        done = sanitize_training(
            workspace,
            dataset,
            model,
            policy,
            trusted=trusted,
            version=version,
            name=self.model,
            inputs=inputs,
            dynamics=Path(self.dynamics) if self.dynamics else None,
            device=self.device,
        )
        if again is None:
            return done

        def train(snapshot: Snapshot) -> tuple[Any, str]:
            weights = str(again(snapshot))
            return load(weights), weights

        return retrain_and_compare(
            workspace,
            done,
            model,
            policy,
            train=train,
            held_out=trusted if self.held_out is None else read_trusted(self.held_out, policy),
            register=self.retrained,
            inputs=inputs,
            classes=self.classes,
            device=self.device,
        )
