"""QuarantineGateOperator: the verdict; what is suspect is held, and a held batch stops here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import TriggerRule
from airflow.sdk.exceptions import AirflowFailException

from lazaretto.operators import metrics
from lazaretto.operators.base import StageOperator
from lazaretto.operators.holding import hooks_of, tell_of_hold
from lazaretto.operators.receive_batch import last_entry
from lazaretto.operators.skipping import skipped_behind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow.sdk import Context
    from airflow.sdk.types import Operator

    from lazaretto.operators.holding import OnHold
    from lazaretto.policy import Policy
    from lazaretto.stages.judgement import Judgement
    from lazaretto.storage.workspace import Workspace


class QuarantineGateOperator(StageOperator):
    """Judges a batch by its failures and scores; writes the quarantine before anything is admitted.

    Returns (XCom) the judgement: ``batch``, ``dataset``, ``verdict``, ``rows``, ``held``,
    ``cleared``, ``case``, ``reasons``, ``shadow``. The first policy that judges for a dataset is
    put in force for it. Under another one the gate judges in shadow: it says so in ``shadow`` and
    in the log, and nothing behind it runs. When the whole batch is held, *every* task behind the
    gate is skipped, whatever its trigger rule: an ``AirflowSkipException`` would let
    ``none_failed`` and ``all_done`` tasks run.
    The gate takes no outlets, because a succeeded gate would announce them even for a held batch.

    When anything is held, the log warns of it with the reasons, and `on_hold` is called: once for
    each hold, also when the task is tried again or cleared. It gets Airflow's context with
    ``hold``, a `lazaretto.operators.holding.Hold`: ``case``, ``batch``, ``source``, ``dataset``,
    ``verdict``, ``rows``, ``held``, ``reasons``, ``notes`` and ``link``. A notifier's templates
    know it as ``{{ hold.case }}``. A hook that fails does not stop the gate.

    Args:
        batch: id of a received batch, or the ``.output`` of the operator before. Templated.
        policy: policy file, or the policy as a mapping. Templated.
        on_hold: callback or notifier, or several, for when anything is held.

    Examples:
        >>> task = QuarantineGateOperator(
        ...     task_id="gate",
        ...     batch="{{ params.batch }}",
        ...     policy="policies/reviews.yaml",
        ... )
        >>> task.task_id
        'gate'
    """

    inherits_from_skipmixin = True
    stage_name = "gate"

    def __init__(self, *, on_hold: OnHold | Sequence[OnHold] | None = None, **kwargs: Any) -> None:
        if kwargs.get("outlets"):
            raise ValueError(
                "a quarantine gate takes no outlets: they would be announced even for a held batch;"
                " put them on AdmitBatchOperator"
            )
        super().__init__(**kwargs)
        self.on_hold = hooks_of(on_hold)

    def perform(self, workspace: Workspace, context: Context) -> Judgement:
        """Judges, and tells people of what is held."""
        before = last_entry(workspace)
        judged: Judgement = super().perform(workspace, context)
        made_now = judged.seq > before
        if made_now:
            metrics.count_judgement(judged)
        metrics.tell_queue(workspace)
        tell_of_hold(self, workspace, context, judged, self.on_hold, made_now=made_now)
        return judged

    def stage(self, workspace: Workspace, batch: str, policy: Policy) -> Judgement:
        """Calls `lazaretto.stages.gate`."""
        from lazaretto.stages.gate import gate

        return gate(workspace, batch, policy)

    def execute(self, context: Context) -> Any:
        """Judges, and skips everything behind the gate when the batch is held or judged in shadow.

        Raises:
            AirflowFailException: a task behind the gate would not wait for it.
            DownstreamTasksSkipped: the batch is held, or was judged in shadow.
        """
        from lazaretto.values import Verdict

        behind = context["task"].get_flat_relatives(upstream=False)
        _refuse_heedless(behind)
        judgement = super().execute(context)
        if judgement["shadow"] is not None:
            self.log.warning("%s: %s", judgement["batch"], judgement["shadow"])
        elif not Verdict(judgement["verdict"]).holds_batch:
            return judgement
        raise skipped_behind(context, judgement)


def _refuse_heedless(behind: Iterable[Operator]) -> None:
    heedless = sorted(task.task_id for task in behind if task.trigger_rule == TriggerRule.ALWAYS)
    if heedless:
        raise AirflowFailException(
            f"trigger rule 'always' waits for no gate, so {', '.join(heedless)} would run with"
            " unjudged data: use another rule, or do not put the task behind the gate"
        )
