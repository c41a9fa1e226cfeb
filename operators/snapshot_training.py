"""SnapshotTrainingOperator: a version of the admitted dataset, frozen for one training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazaretto.operators.base import LazarettoOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from lazaretto.stages.snapshot import Snapshot
    from lazaretto.storage.workspace import Workspace


class SnapshotTrainingOperator(LazarettoOperator):
    """Names one version of the admitted dataset, and records which batches it really contains.

    Returns (XCom) the training view: ``dataset``, ``uri`` and ``version`` of the Delta table,
    ``rows``, ``digest``. The column ``sample_weight`` holds the reviewers' weights.
    The bytes of the version are checked when the task runs. Read it with
    ``lazaretto.stages.snapshot(workspace, dataset, version=version).table()``, which checks them
    again, or with ``deltalake.DeltaTable(uri, version=version)``, polars, Spark or Ray, which see
    what lies in the store at that moment.

    Args:
        dataset: name of the admitted dataset. Templated.
        version: version to freeze; default: the newest. Templated.

    Examples:
        >>> task = SnapshotTrainingOperator(
        ...     task_id="snapshot",
        ...     dataset="reviews",
        ... )
        >>> task.task_id
        'snapshot'
    """

    stage_name = "snapshot"
    template_fields: Sequence[str] = ("dataset", "version", *LazarettoOperator.template_fields)

    def __init__(self, *, dataset: str, version: int | str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.version = version

    def perform(self, workspace: Workspace, context: Context) -> Snapshot:  # noqa: ARG002
        """Calls `lazaretto.stages.snapshot`."""
        from lazaretto.stages.snapshot import snapshot

        return snapshot(
            workspace, self.dataset, version=None if self.version is None else int(self.version)
        )

    def execute(self, context: Context) -> Any:
        """Returns the view without members and files: the ledger has them, maybe thousands."""
        view = super().execute(context)
        return {key: value for key, value in view.items() if key not in ("members", "files")}
