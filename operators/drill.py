"""DrillOperator: known attacks on a copy of a recent batch, every night."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazaretto.operators.base import LazarettoOperator, load_policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from lazaretto.drill import Drill, DrillCost
    from lazaretto.storage.workspace import Workspace


class DrillOperator(LazarettoOperator):
    """Poisons copies of recent batches, and has the gate judge them in isolation.

    Returns (XCom) what came of each attack, and the ledger entry. Nothing else is changed: the copy
    is judged in a workspace of its own, which is removed.

    Args:
        policy: policy file, or the policy as a mapping. Templated.
        batch: id of the batch to copy; default: the newest that was admitted and is large enough.
            Templated.
        attacks: names of attacks; default: all.
        doses: shares of the copy to poison.
        draws: how often each dose is drawn; a mean and an interval are told.
        seconds: after so many seconds no further round of draws begins.
        caught_at: share of the poison from which on an attack counts as caught.
        seed: of the attacks.
        fail_when_missed: names of attacks; the task fails when one of them is caught at no dose.

    Examples:
        >>> task = DrillOperator(task_id="drill", policy="policy.yaml", attacks=["label_flip"])
        >>> task.task_id
        'drill'
    """

    stage_name = "drill"
    template_fields: Sequence[str] = ("policy", "batch", *LazarettoOperator.template_fields)

    def __init__(
        self,
        *,
        policy: str | Mapping[str, Any],
        batch: str | None = None,
        attacks: Sequence[str] = (),
        doses: Sequence[float] = (0.02, 0.05, 0.1, 0.2),
        draws: int = 5,
        seconds: float | None = 1800.0,
        caught_at: float = 0.5,
        seed: int = 0,
        fail_when_missed: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.policy = policy
        self.batch = batch
        self.attacks = attacks
        self.doses = doses
        self.draws = draws
        self.seconds = seconds
        self.caught_at = caught_at
        self.seed = seed
        self.fail_when_missed = fail_when_missed

    def perform(self, workspace: Workspace, context: Context) -> Drill:  # noqa: ARG002
        """Calls `lazaretto.drill.run_drill`."""
        from lazaretto.drill import run_drill
        from lazaretto.errors import UsageError

        drill = run_drill(
            workspace,
            load_policy(self.policy),
            batch=self.batch or None,
            attacks=list(self.attacks),
            doses=list(self.doses),
            draws=self.draws,
            seconds=self.seconds,
            seed=self.seed,
            caught_at=self.caught_at,
            cost=self._say_cost,
        )
        missed = sorted({*self.fail_when_missed} & {*drill.missed})
        if missed:
            raise UsageError(
                f"the gate catches {', '.join(missed)} at no dose: ledger entry {drill.seq}"
            )
        return drill

    def _say_cost(self, cost: DrillCost) -> None:
        self.log.info("%d copies are judged, about %.0f seconds", cost.copies, cost.seconds)
