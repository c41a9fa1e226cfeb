"""The decision rule: from p-values and what they were read from to held records and a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.screen._pool import joint_suspects, pool_for, pooled_below
from lazaretto.stats.conformal import LOCAL_FROM, levels, suspects
from lazaretto.stats.localised import Budget, ClassExcess, broad_excess, class_excess
from lazaretto.stats.sizes import min_detectable, wanted_records
from lazaretto.values import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from lazaretto.policy import Policy
    from lazaretto.screen._measured import Measured
    from lazaretto.screen._pool import Companion, Pool
    from lazaretto.stats.conformal import Calibration
    from lazaretto.stats.localised import Broad
    from lazaretto.stats.sizes import JudgeableSizes

CLASSES, BROAD = "class_excess", "broad_excess"
"""What the tests are called that the rule makes of p-values."""
BY_RULE = (CLASSES, BROAD)


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
        budget: how the chance of holding anything of a clean batch is shared.
        classes: small p-values of each class; empty where classes are not looked at by themselves.
        broad: of the whole batch before anything is held; None where that is not looked at.
    """

    suspected: npt.NDArray[np.bool_]
    calibration: Calibration
    detectable: int
    sizes: JudgeableSizes | None
    pool: Pool | None
    remark: str | None
    budget: Budget
    classes: tuple[ClassExcess, ...] = ()
    broad: Broad | None = None

    @property
    def named(self) -> list[ClassExcess]:
        """The classes with more small p-values than their trusted records explain."""
        return [found for found in self.classes if found.p_value <= self.budget.classes]

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
    p_value, label = measured.p_value[usable], measured.label[usable]
    budget = Budget.of(rate, alpha, len(p_value), apart=measured.apart)
    classes, broad = tuple[ClassExcess, ...](), None
    if pool is not None and pool.is_joint:
        marked, calibration, remark = joint_suspects(p_value, calibration, pool, policy)
    else:
        marked = suspects(p_value, calibration, rate=rate, alpha=alpha, rule=rule)
        if len(p_value) >= LOCAL_FROM:
            if len(measured.classes) > 1 and rule == "evidence":
                tried = levels(rate, calibration)
                found = class_excess(
                    p_value, label, measured.known, levels=tried, alpha=budget.classes
                )
                classes = tuple(found)
            if policy.screen.test_modes[BROAD] != "off":
                broad = broad_excess(p_value, calibration)
    suspected = np.zeros(len(usable), dtype=bool)
    suspected[usable] = marked
    detectable = min_detectable(calibration, rate=rate, alpha=alpha, rule=rule)
    decided = Decided(
        suspected, calibration, detectable, sizes, pool, remark, budget, classes, broad
    )
    for one in decided.named:
        suspected[usable] |= (label == one.label) & (p_value <= one.level * (1 + 1e-9))
    return decided


@dataclass(frozen=True, slots=True)
class Rest:
    """What is not held of a batch.

    Attributes:
        share: estimated share of poison in it.
        told: the evidence for it, in words.
    """

    share: float
    told: str


def rest_of(decided: Decided, measured: Measured, held: npt.NDArray[np.bool_]) -> Rest | None:
    """Looks at what is left once records are held; None where the whole batch is not looked at.

    Args:
        decided: what the rule says.
        measured: the batch.
        held: which records are held, bool (m,).
    """
    broad = decided.broad
    if broad is None:
        return None
    usable, left = measured.usable, measured.usable & ~held
    records, kept = int(usable.sum()), int(left.sum())
    share = 0.0
    if kept:
        share = broad_excess(measured.p_value[left], measured.calibration.keep(left)).remaining
    return Rest(
        share,
        f"before anything was held, {broad.count} of {records} records had p <= {broad.level:g}; "
        f"{broad.expected:.0f} are expected. By that, about {broad.share:.0%} of the batch are "
        f"poisoned or come from elsewhere; {1 - kept / records:.1%} are held, and of what is left "
        f"about {share:.0%} would be",
    )


def held_whole(decided: Decided, rest: Rest | None, policy: Policy) -> dict[str, str]:
    """Why the batch is held for what holding records would leave in it, by name of the test."""
    broad, limit = decided.broad, policy.screen.batch.max_remaining_share
    if broad is None or rest is None or policy.screen.test_modes[BROAD] != "enforce":
        return {}
    if broad.p_value > decided.budget.broad or rest.share <= limit:
        return {}
    return {BROAD: f"{rest.told}; screen.batch.max_remaining_share is {limit:g}"}


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
