"""FlushLineageOperator: sends the lineage events that stages left for later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk.exceptions import AirflowException

from lazaretto.operators import metrics
from lazaretto.operators.base import LazarettoOperator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

    from lazaretto.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Flushed:
    """What was sent.

    Attributes:
        entries: ledger entries that the backend has taken.
        remaining: ledger entries that wait.
    """

    entries: int
    remaining: int


class FlushLineageOperator(LazarettoOperator):
    """Sends every ledger entry that the OpenLineage backend has not seen yet.

    A stage sends a few entries and waits a few seconds; what a slow or lost backend leaves behind
    is sent here. Put it into a DAG of its own that runs every few minutes.

    Returns (XCom) what was sent: ``entries``, ``remaining``. Where entries are left the task fails,
    and Airflow tries again: the backend did not take them, or another process is sending them, and
    the message says which and until when. With OpenLineage switched off it sends nothing. How many
    cases are open, and how long the oldest has waited, goes to Airflow's metrics each time.

    Deferred, it takes no worker slot meanwhile; the triggerer must run.

    Args:
        deferrable: send in the triggerer.
        stalled: seconds in which the backend must take an entry.

    Examples:
        >>> task = FlushLineageOperator(
        ...     task_id="flush",
        ... )
        >>> task.task_id
        'flush'
    """

    stage_name = "flush"

    def __init__(self, *, deferrable: bool = True, stalled: float = 60.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.deferrable = deferrable
        self.stalled = stalled

    def execute(self, context: Context) -> Any:
        """Sends, here or in the triggerer."""
        if self.deferrable:
            self._defer()
        from lazaretto.operators.outbox import send_all
        from lazaretto.values import to_json

        with self.speaking_plainly(context), metrics.timed(self.stage_name):
            workspace = self.open_workspace()
            return self._finish(workspace, to_json(send_all(workspace, self.stalled)))

    def _defer(self) -> NoReturn:
        from lazaretto.operators.triggers import LineageFlushedTrigger

        self.defer(
            trigger=LineageFlushedTrigger(self.lazaretto_conn_id, self.stalled),
            method_name="resume",
        )

    def resume(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Goes on after the trigger fired, in a new process that knows nothing but the event."""
        with self.speaking_plainly(context):
            return self._finish(self.open_workspace(), event)

    def _finish(self, workspace: Workspace, drained: Mapping[str, Any]) -> dict[str, Any]:
        metrics.tell_queue(workspace)
        sent = Flushed(drained["entries"], drained["remaining"])
        self.tell(workspace, self.stage_name, sent)
        why, held = drained["problem"], drained["held"]
        if held:
            why = f"{held['holder']} is sending them, until {held['until']} at the latest"
        if why:
            raise AirflowException(f"{drained['remaining']} ledger entries wait: {why}")
        return {"entries": drained["entries"], "remaining": drained["remaining"]}
