"""SnapshotTrainingOperator: a version of the admitted dataset, frozen for one training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazaretto.operators.base import LazarettoOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from lazaretto.stages.taken import Snapshot
    from lazaretto.storage.workspace import Workspace


class SnapshotTrainingOperator(LazarettoOperator):
    """Names one version of the admitted dataset, and records which batches it really contains.

    Returns (XCom) the training view: ``dataset``, ``uri`` and ``version`` of the Delta table,
    ``rows``, ``digest``. The column ``sample_weight`` holds the reviewers' weights.
    The bytes of the version are checked when the task runs. Read it with
    ``lazaretto.stages.snapshot(workspace, dataset, version=version).table()``, which checks them
    again, or with ``deltalake.DeltaTable(uri, version=version)``, polars, Spark or Ray, which see
    what lies in the store at that moment.

    Where batches were left out, ``view`` is the id of the view, and only
    ``lazaretto.stages.open_snapshot(workspace, dataset, view).table()`` leaves them out: the Delta
    table still has them.

    Args:
        dataset: name of the admitted dataset. Templated.
        version: version to freeze; default: the newest. Templated.
        exclude: batches to leave out, or the path of a file with them: one id in each line, or JSON
            with a list ``batches``. Templated.

    Examples:
        >>> task = SnapshotTrainingOperator(
        ...     task_id="snapshot",
        ...     dataset="reviews",
        ... )
        >>> task.task_id
        'snapshot'
    """

    stage_name = "snapshot"
    template_fields: Sequence[str] = (
        "dataset",
        "version",
        "exclude",
        *LazarettoOperator.template_fields,
    )

    def __init__(
        self,
        *,
        dataset: str,
        version: int | str | None = None,
        exclude: str | Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.version = version
        self.exclude = exclude

    def perform(self, workspace: Workspace, context: Context) -> Snapshot:  # noqa: ARG002
        """Calls `lazaretto.stages.snapshot`."""
        from pathlib import Path

        from lazaretto.stages.exclusions import read_exclusions
        from lazaretto.stages.snapshot import snapshot

        left_out = self.exclude or ()
        if isinstance(left_out, str):
            left_out = read_exclusions(Path(left_out).read_bytes())
        version = None if self.version is None else int(self.version)
        return snapshot(workspace, self.dataset, version=version, exclude=left_out)

    def execute(self, context: Context) -> Any:
        """Returns the view without its lists, maybe thousands long: the ledger has them."""
        view = super().execute(context)
        lists = ("members", "files", "excluded")
        whole = ("view",) if view["view"] is None else ()
        return {key: value for key, value in view.items() if key not in (*lists, *whole)}
