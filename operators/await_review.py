"""AwaitReviewOperator: waits until people have published what they decided on a batch."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseSensorOperator
from airflow.sdk.bases.sensor import PokeReturnValue

from lazaretto.operators.base import LazarettoOperator, batch_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context


class AwaitReviewOperator(LazarettoOperator, BaseSensorOperator):
    """Waits for the review of a batch; a batch of which nothing is held needs none.

    It ends when every case of the batch is closed: everything is decided on, and somebody has
    published it. The last decision does not end it, for until it is published each can be undone.
    Where nothing is released, publishing (of nothing) closes the case.

    Returns (XCom) the outcome: ``batch``, ``cases``, ``actions`` (records per action), never a
    record. Put it beside the gate, not behind it, for a gate that holds the whole batch skips what
    is behind it; behind the review, an ``AdmitBatchOperator(part="released")`` tells Airflow of
    what was published.

    Deferred, it takes no worker slot while people think; the triggerer must run. With
    ``deferrable=False`` it looks again in the sensor's ``mode``, by default *reschedule*.

    Args:
        batch: id of a received batch, or the ``.output`` of the operator before. Templated.
        deferrable: wait in the triggerer.
        poke_interval: seconds between two looks.
        timeout: seconds after which the task fails; default 90 days, as reviews expire by the
            default policy.

    Examples:
        >>> task = AwaitReviewOperator(
        ...     task_id="review",
        ...     batch="{{ params.batch }}",
        ... )
        >>> task.task_id
        'review'
    """

    stage_name = "review"
    template_fields: Sequence[str] = ("batch", *LazarettoOperator.template_fields)

    def __init__(
        self,
        *,
        batch: str | Mapping[str, Any],
        deferrable: bool = True,
        poke_interval: timedelta | float = 60,
        timeout: timedelta | float = timedelta(days=90),
        mode: str = "reschedule",
        **kwargs: Any,
    ) -> None:
        super().__init__(poke_interval=poke_interval, timeout=timeout, mode=mode, **kwargs)
        self.batch = batch
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Returns when all is published; until then it defers, or pokes as a sensor does."""
        if not self.deferrable:
            return BaseSensorOperator.execute(self, context)
        done = self.poke(context)
        if not done:
            self._defer()
        return done.xcom_value

    def _defer(self) -> NoReturn:
        from lazaretto.operators.triggers import CaseClosedTrigger

        self.defer(
            trigger=CaseClosedTrigger(
                batch_id(self.batch), self.lazaretto_conn_id, self.poke_interval
            ),
            method_name="resume",
            timeout=timedelta(seconds=self.timeout),
        )

    def poke(self, context: Context) -> PokeReturnValue:
        """Looks once."""
        from lazaretto.quarantine.outcome import review_outcome
        from lazaretto.values import to_json

        with self.speaking_plainly(context):
            outcome = review_outcome(self.open_workspace(), batch_id(self.batch))
        if outcome is None:
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=self._finish(to_json(outcome), context))

    def resume(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Goes on after the trigger fired, in a new process that knows nothing but the event."""
        return self._finish(event, context)

    def _finish(self, outcome: Mapping[str, Any], context: Context) -> dict[str, Any]:
        from lazaretto.quarantine.outcome import ReviewOutcome

        self.worked_on = outcome["batch"]
        self.ledger_entries = list(outcome["seqs"])
        with self.speaking_plainly(context):
            workspace = self.open_workspace()
            self.tell(workspace, self.stage_name, ReviewOutcome(**outcome))
            self.report_lineage(workspace, context)
        return dict(outcome)
