"""DrillOperator: known attacks on a copy of a recent batch, every night."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazaretto.operators.base import LazarettoOperator, load_policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from lazaretto.drill import Drill
    from lazaretto.storage.workspace import Workspace


class DrillOperator(LazarettoOperator):
    """Poisons a copy of a recent batch, and has the gate judge it in isolation.

    Returns (XCom) what came of each attack, and the ledger entry. Nothing else is changed: the copy
    is judged in a workspace of its own, which is removed.

    Args:
        policy: policy file, or the policy as a mapping. Templated.
        batch: id of the batch to copy; default: the newest that was admitted and is large enough.
            Templated.
        attacks: names of attacks; default: all.
        doses: shares of the copy to poison.
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
            seed=self.seed,
            caught_at=self.caught_at,
        )
        missed = sorted({*self.fail_when_missed} & {*drill.missed})
        if missed:
            raise UsageError(
                f"the gate catches {', '.join(missed)} at no dose: ledger entry {drill.seq}"
            )
        return drill
