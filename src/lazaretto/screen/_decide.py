"""The decision rule: from p-values and what they were read from to held records and a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.screen._pool import joint_suspects, pool_for, pooled_below
from lazaretto.stats.conformal import suspects
from lazaretto.stats.sizes import min_detectable, wanted_records
from lazaretto.values import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from lazaretto.policy import Policy
    from lazaretto.screen._measured import Measured
    from lazaretto.screen._pool import Companion, Pool
    from lazaretto.stats.conformal import Calibration
    from lazaretto.stats.sizes import JudgeableSizes


@dataclass(frozen=True, slots=True)
class Decided:
    """What the rule says of a batch of m records.

    Attributes:
        suspected: bool (m,), which records the rule marks; none that has no p-value.
        calibration: what that was read from: the batch's own, or the pool's.
        detectable: smallest number of extreme records that could be marked.
        sizes: which batches can be judged alone; None where small ones are not pooled.
        pool: what it could be judged with, being too small to be judged alone; else None.
        remark: how a pool was used, in words; None where it was not.
    """

    suspected: npt.NDArray[np.bool_]
    calibration: Calibration
    detectable: int
    sizes: JudgeableSizes | None
    pool: Pool | None
    remark: str | None

    def cannot_judge(self, policy: Policy) -> bool:
        """Whether the poisoned share that the policy asks for could go unmarked."""
        records = len(self.calibration.group)
        if not records or not policy.screen.decides:
            return False
        return self.detectable > wanted_records(policy.screen.min_poison_share, records)


def decide(measured: Measured, policy: Policy, companions: Sequence[Companion] = ()) -> Decided:
    """Applies the policy's rule to the p-values of a batch.

    Args:
        measured: the batch.
        policy: says at which rate, by which rule, and whether small batches are pooled.
        companions: other small batches of the source, the nearest first.
    """
    rate, alpha = policy.screen.false_quarantine_rate, policy.screen.batch.alpha
    rule, usable = policy.screen.hold, measured.usable
    calibration = measured.calibration.keep(usable)
    sizes = pooled_below(measured, policy)
    pool, remark = None, None
    if sizes is not None and 0 < len(calibration.group) < (sizes.smallest or 0):
        pool = pool_for(measured, sizes, policy, companions)
    p_value = measured.p_value[usable]
    if pool is not None and pool.is_joint:
        marked, calibration, remark = joint_suspects(p_value, calibration, pool, policy)
    else:
        marked = suspects(p_value, calibration, rate=rate, alpha=alpha, rule=rule)
    suspected = np.zeros(len(usable), dtype=bool)
    suspected[usable] = marked
    detectable = min_detectable(calibration, rate=rate, alpha=alpha, rule=rule)
    return Decided(suspected, calibration, detectable, sizes, pool, remark)


def verdict_of(
    held: npt.NDArray[np.bool_], cannot: str | None, fired: Mapping[str, str], policy: Policy
) -> tuple[Verdict, str | None]:
    """The verdict of screening, and in words why the whole batch is held.

    Args:
        held: which records are held, bool (m,).
        cannot: why the batch cannot be judged; None where it can.
        fired: what the batch tests say that hold the batch, by name.
        policy: the policy.
    """
    if not len(held):
        return Verdict.PASS, "no record is left to judge: all of them failed the contract"
    if cannot is not None:
        return Verdict.ABSTAIN, cannot
    share = float(held.mean())
    if share >= policy.screen.batch.hold_when_held_fraction:
        return Verdict.HOLD_BATCH, (
            f"{share:.1%} of the records are suspect; screen.batch.hold_when_held_fraction "
            f"is {policy.screen.batch.hold_when_held_fraction:g}"
        )
    if fired:
        return Verdict.HOLD_BATCH, "; ".join(f"{name}: {said}" for name, said in fired.items())
    return (Verdict.HOLD_RECORDS if held.any() else Verdict.PASS), None
