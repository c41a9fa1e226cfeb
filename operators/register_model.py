"""RegisterModelOperator: a model version and what it learned from enter the lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazaretto.operators.base import LazarettoOperator, snapshot_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from lazaretto.stages.register_model import ModelVersion
    from lazaretto.storage.workspace import Workspace


class RegisterModelOperator(LazarettoOperator):
    """Records which snapshot a model version was trained on, so that incidents can reach it.

    Returns (XCom) the model version: ``model``, ``version``, ``dataset``, ``snapshot``, ``rows``.
    An unknown snapshot fails the task for good.

    Args:
        model: name of the model in your registry. Templated.
        version: version in your registry. Templated.
        snapshot: what `SnapshotTrainingOperator` returned (its ``.output``), or
            ``dataset@version``. Templated.
        artifact: path, or URI in a bucket, of the weights; their digest is recorded. Templated.
        registry: namespace of your registry, such as ``mlflow://host``. Templated.
        training_params: parameters worth keeping, such as ``{"epochs": "30"}``. Templated.

    Examples:
        >>> task = RegisterModelOperator(
        ...     task_id="register",
        ...     model="net",
        ...     version="{{ run_id }}",
        ...     snapshot="{{ params.snapshot }}",
        ... )
        >>> task.task_id
        'register'
    """

    stage_name = "register"
    template_fields: Sequence[str] = (
        "model",
        "version",
        "snapshot",
        "artifact",
        "registry",
        "training_params",
        *LazarettoOperator.template_fields,
    )

    def __init__(
        self,
        *,
        model: str,
        version: str,
        snapshot: str | Mapping[str, Any],
        artifact: str | None = None,
        registry: str = "local",
        training_params: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.version = version
        self.snapshot = snapshot
        self.artifact = artifact
        self.registry = registry
        self.training_params = training_params

    def perform(self, workspace: Workspace, context: Context) -> ModelVersion:
        """Calls `lazaretto.stages.register_model`."""
        from lazaretto.stages.register_model import register_model

        dataset, version = snapshot_of(self.snapshot)
        return register_model(
            workspace,
            self.model,
            self.version,
            dataset,
            version,
            artifact=self.artifact or None,
            params=dict(self.training_params or {}),
            external_run_id=context["run_id"],
            registry=self.registry,
        )
