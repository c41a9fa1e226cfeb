"""PromoteModelOperator: a model version is in use once nothing speaks against it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazaretto.operators.base import LazarettoOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from lazaretto.models import Promoted
    from lazaretto.storage.workspace import Workspace


class PromoteModelOperator(LazarettoOperator):
    """Makes a name such as ``production`` stand for a model version, or fails for good.

    A version is refused that an open incident is about, that learned from recalled records, whose
    origin nobody knows, that is on hold, or that lacks what the policy's ``model`` section asks
    for. Who promotes is the task, ``airflow:DAG.TASK``, which `model.promoters` may name.

    Returns (XCom) the name, the version that it stands for, and the one before.

    Args:
        model: name of the model in your registry. Templated.
        version: version in your registry. Templated.
        alias: the name. Templated.
        reason: why; stays on record. Templated.
        registry: namespace of your registry, where several have a model of this name. Templated.
        mlflow: address of the MLflow server whose alias is set as well; default: none. Templated.

    Examples:
        >>> task = PromoteModelOperator(task_id="promote", model="net", version="3")
        >>> task.alias
        'production'
    """

    stage_name = "promote"
    template_fields: Sequence[str] = (
        "model",
        "version",
        "alias",
        "reason",
        "registry",
        "mlflow",
        *LazarettoOperator.template_fields,
    )

    def __init__(
        self,
        *,
        model: str,
        version: str,
        alias: str = "production",
        reason: str = "",
        registry: str | None = None,
        mlflow: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.version = version
        self.alias = alias
        self.reason = reason
        self.registry = registry
        self.mlflow = mlflow

    def perform(self, workspace: Workspace, context: Context) -> Promoted:  # noqa: ARG002
        """Calls `lazaretto.models.promote`."""
        from lazaretto.models import promote

        return promote(
            workspace,
            self.model,
            self.version,
            alias=self.alias,
            registry=self.registry or None,
            reason=self.reason,
            mlflow=self.mlflow or None,
        )
