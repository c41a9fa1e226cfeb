"""RegisterModelOperator: a model version and what it learned from enter the lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazaretto.operators.base import LazarettoOperator, snapshot_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from lazaretto.stages.register_model import ModelVersion
    from lazaretto.storage.workspace import Workspace


class RegisterModelOperator(LazarettoOperator):
    """Records what a model version learned from, so that incidents can reach it.

    Returns (XCom) the model version: ``model``, ``version``, ``registry``, ``inputs``, and of the
    first snapshot ``dataset``, ``snapshot`` and ``rows``. An unknown snapshot fails the task for
    good. A further task of the same version adds to what it learned from.

    Args:
        model: name of the model in your registry. Templated.
        version: version in your registry. Templated.
        snapshot: what `SnapshotTrainingOperator` returned (its ``.output``), or
            ``dataset@version``, or a list of them. Templated.
        reads: what the training read of snapshots, each as ``DATASET@VERSION:COLUMN,COLUMN``, or as
            a mapping with ``dataset``, ``snapshot`` and ``columns``: what ``asdict(data.reads)`` of
            `lazaretto.training.training_data` gives. Where it did not read the weights of
            reviewers, the log and ``ignored_weights`` say so. Templated.
        tables: tables of others, each as ``NAMESPACE NAME`` or ``NAMESPACE NAME@VERSION``, in the
            words of OpenLineage. Templated.
        base: models whose weights it began with, each as ``NAME@VERSION``, or ``REGISTRY
            NAME@VERSION`` where the registry is another one. Templated.
        predictions_of: models whose predictions it learned from, in the same way. Templated.
        role: how snapshots, tables and predictions were used, such as ``VALIDATION`` or ``EVAL``;
            default: by the purpose. Templated.
        purpose: such as ``TRAINING`` or ``FINE_TUNING``. Templated.
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
        "reads",
        "tables",
        "base",
        "predictions_of",
        "role",
        "purpose",
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
        snapshot: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]] = (),
        reads: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]] = (),
        tables: Sequence[str] = (),
        base: Sequence[str] = (),
        predictions_of: Sequence[str] = (),
        role: str | None = None,
        purpose: str = "TRAINING",
        artifact: str | None = None,
        registry: str = "local",
        training_params: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.version = version
        self.snapshot = snapshot
        self.reads = reads
        self.tables = tables
        self.base = base
        self.predictions_of = predictions_of
        self.role = role
        self.purpose = purpose
        self.artifact = artifact
        self.registry = registry
        self.training_params = training_params

    def perform(self, workspace: Workspace, context: Context) -> ModelVersion:
        """Calls `lazaretto.register_model`."""
        from collections.abc import Mapping

        from lazaretto.stages.model_inputs import as_read
        from lazaretto.stages.registering import register_model

        named, told = self.snapshot, self.reads
        snapshots = [named] if isinstance(named, str | Mapping) else list(named)
        reads = [told] if isinstance(told, str | Mapping) else list(told)
        made = register_model(
            self.model,
            self.version,
            snapshots=["@".join(snapshot_name(each)) for each in snapshots],
            tables=list(self.tables),
            base=list(self.base),
            predictions_of=list(self.predictions_of),
            reads=[as_read(one) for one in reads if one],
            role=self.role or None,
            purpose=self.purpose,
            artifact=self.artifact or None,
            params=dict(self.training_params or {}),
            external_run_id=context["run_id"],
            registry=self.registry,
            workspace=workspace,
        )
        if made.ignored_weights:
            self.log.warning(
                "the training did not read the weights that reviewers gave to records of %s",
                ", ".join(made.ignored_weights),
            )
        return made
