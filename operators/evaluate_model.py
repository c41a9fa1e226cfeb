"""EvaluateModelOperator: a model version is measured, and the report goes on record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazaretto.operators.base import LazarettoOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from lazaretto.models import Evaluated
    from lazaretto.storage.workspace import Workspace


class EvaluateModelOperator(LazarettoOperator):
    """Measures a model version on a test set; a promotion reads what comes of it.

    Returns (XCom) the report and its ledger entry.

    Args:
        model: name of the model in your registry. Templated.
        version: version in your registry. Templated.
        on: test file with its labels. Templated.
        weights: the weights: ONNX, a probe's safetensors, or what `load_model` reads. Templated.
        load_model: ``module:function`` from the weights' path to a torch module, or to a function
            from an Arrow table to labels or probabilities. Templated.
        predictions: instead of the model, a file with its answers in a column ``prediction``.
            Templated.
        inputs: what the model reads: a column, or ``module:function``; default: the policy's
            embedding.
        label_column: column of the answer; default: the policy's.
        slices: columns whose values divide the test set; default: the policy's.
        canaries: file with rows whose answer must come. Templated.
        epsilon: how far FGSM and PGD may move a value; default: they are not tried.
        registry: namespace of your registry, where several have a model of this name. Templated.
        alias: the version that this name stands for is compared with.

    Examples:
        >>> task = EvaluateModelOperator(
        ...     task_id="evaluate",
        ...     model="net",
        ...     version="3",
        ...     on="test.parquet",
        ...     weights="net-3.onnx",
        ... )
        >>> task.task_id
        'evaluate'
    """

    stage_name = "evaluate"
    template_fields: Sequence[str] = (
        "model",
        "version",
        "on",
        "weights",
        "load_model",
        "predictions",
        "canaries",
        "registry",
        *LazarettoOperator.template_fields,
    )

    def __init__(
        self,
        *,
        model: str,
        version: str,
        on: str,
        weights: str | None = None,
        load_model: str | None = None,
        predictions: str | None = None,
        inputs: str | None = None,
        label_column: str | None = None,
        slices: Sequence[str] | None = None,
        canaries: str | None = None,
        epsilon: float | None = None,
        registry: str | None = None,
        alias: str = "production",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.version = version
        self.on = on
        self.weights = weights
        self.load_model = load_model
        self.predictions = predictions
        self.inputs = inputs
        self.label_column = label_column
        self.slices = slices
        self.canaries = canaries
        self.epsilon = epsilon
        self.registry = registry
        self.alias = alias

    def perform(self, workspace: Workspace, context: Context) -> Evaluated:  # noqa: ARG002
        """Calls `lazaretto.models.evaluate_file`."""
        from pathlib import Path

        from lazaretto.models import Asked, ModelSource, evaluate_file
        from lazaretto.models.open_model import read_test_file
        from lazaretto.stages.user_code import model_inputs, resolve

        source = ModelSource(
            weights=Path(self.weights) if self.weights else None,
            load=resolve(self.load_model, "load_model") if self.load_model else None,
            predictions=Path(self.predictions) if self.predictions else None,
            inputs=model_inputs(self.inputs),
        )
        column = self.inputs if self.inputs and ":" not in self.inputs else None
        asked = Asked(
            label=self.label_column,
            slices=self.slices,
            reads=None if column is None else [column],
            epsilon=self.epsilon,
            canaries=read_test_file(self.canaries).rows if self.canaries else None,
        )
        return evaluate_file(
            workspace,
            self.model,
            self.version,
            self.on,
            source,
            asked=asked,
            registry=self.registry or None,
            code=self.load_model or None,
            alias=self.alias,
        )
