"""Skipping everything behind a task, whatever its trigger rule, while the task itself succeeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk.exceptions import DownstreamTasksSkipped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context
    from airflow.sdk.types import Operator


def skipped_behind(context: Context, result: Mapping[str, object]) -> DownstreamTasksSkipped:
    """What to raise so that the running task succeeds and all tasks behind it but teardowns skip.

    An ``AirflowSkipException`` would let ``none_failed`` and ``all_done`` tasks run.

    Args:
        context: Airflow's.
        result: what the task returns (XCom).
    """
    task_instance = context["ti"]
    behind = context["task"].get_flat_relatives(upstream=False)
    to_skip = [task for task in behind if not task.is_teardown]
    # The exception takes the place of a return value, and tasks of other DAGs may ask for it.
    task_instance.xcom_push(key="return_value", value=result)
    # By this, Airflow's scheduler skips these tasks again when they alone are cleared.
    skipped = [task.task_id for task in to_skip]
    task_instance.xcom_push(key="skipmixin_key", value={"skipped": skipped})
    return DownstreamTasksSkipped(tasks=_instances(to_skip, context))  # type: ignore[no-untyped-call]


def _instances(tasks: Sequence[Operator], context: Context) -> list[str | tuple[str, int]]:
    """The task instances behind this one: in a mapped task group, those of the same batch alone.

    Behind a mapped task, but outside of its group, a task works on all batches, and goes on for
    those that are not stopped: `AdmitBatchOperator` admits nothing of one that is held.
    """
    index = context["ti"].map_index
    if index is None or index < 0:
        return [task.task_id for task in tasks]
    group = context["task"].get_closest_mapped_task_group()
    if group is None:
        return []
    inside = {task.task_id for task in group.iter_tasks()}
    return [(task.task_id, index) for task in tasks if task.task_id in inside]
