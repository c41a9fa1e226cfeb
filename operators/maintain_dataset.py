"""MaintainDatasetOperator: a dataset's small files put together, and old ones deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazaretto.operators.base import LazarettoOperator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.sdk import Context

    from lazaretto.health import Maintained
    from lazaretto.storage.workspace import Workspace


class MaintainDatasetOperator(LazarettoOperator):
    """Puts small data files of a dataset together, and writes a checkpoint of its log.

    With ``apply`` it deletes data files that the newest version has no longer, that no snapshot
    has, and that the policy's ``retention.replaced_days`` keeps no longer. Put it into a DAG of its
    own that runs each night. Others may admit and recall meanwhile, and nobody is told of a new
    version: it has the same records.

    Returns (XCom) ``dataset``, ``version``, how many files were put together (``before``) to how
    many (``after``), how many are ``due``, and whether those were ``deleted``.

    Args:
        dataset: name of the admitted dataset. Templated.
        apply: delete what is due.

    Examples:
        >>> task = MaintainDatasetOperator(
        ...     task_id="maintain",
        ...     dataset="reviews",
        ... )
        >>> task.task_id
        'maintain'
    """

    stage_name = "maintain"
    template_fields: Sequence[str] = ("dataset", *LazarettoOperator.template_fields)

    def __init__(self, *, dataset: str, apply: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.apply = apply

    def perform(self, workspace: Workspace, context: Context) -> Maintained:  # noqa: ARG002
        """Calls `lazaretto.health.maintain`."""
        from lazaretto.health import maintain

        return maintain(workspace, self.dataset, apply=self.apply)

    def reference(self, result: Maintained) -> object:
        """Counts alone: lists of files may be thousands long."""
        return {
            "dataset": result.dataset,
            "version": result.version,
            "before": result.before,
            "after": result.after,
            "due": len(result.due),
            "deleted": result.deleted,
        }
