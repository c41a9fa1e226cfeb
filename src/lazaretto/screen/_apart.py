"""Detectors that are judged by themselves: too many records that one of them finds odd."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.reference.calibrated import apart_of
from lazaretto.screen._explain import RUN
from lazaretto.stats.conformal import Calibration, excess_of_small_p, levels
from lazaretto.values import REPORTED_ONLY, TestSummary

if TYPE_CHECKING:
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference
    from lazaretto.screen._score import Scored

APART = "apart_excess"
MOST_LEVELS = 4
"""Levels at which records are counted: the rate, halved up to three times."""


@dataclass(frozen=True, slots=True)
class Apart:
    """What the detectors say that are judged by themselves.

    Attributes:
        test: they together, as the batch tests are told.
        reasons: why each record is held, by position; none where the detector only watches.
    """

    test: TestSummary
    reasons: dict[int, str]


def find_apart(scored: Scored, reference: Reference, policy: Policy, alpha: float) -> Apart | None:
    """Counts the records that a detector finds odd, and names them where they are too many.

    A view that most records say nothing to would only dilute the common score. By itself it is
    heard: its own p-values are counted up to the rate, a half, a quarter and an eighth of it, and
    held against its calibration (`lazaretto.stats.conformal.excess_of_small_p`; Bonferroni over
    levels and detectors). Only records with such a p-value of at most the rate are named.

    Args:
        scored: the batch.
        reference: that it was scored against.
        policy: says which detectors are apart, and in which mode.
        alpha: chance that any record of a clean batch is named.

    Returns:
        None where no detector is apart, or the batch is too small to be looked at in parts.
    """
    configs = policy.screen.detectors
    names = apart_of(policy, reference.detectors, modes=RUN)
    usable = np.flatnonzero(~np.isnan(scored.p_value))
    if not names or alpha <= 0 or not len(usable):
        return None
    known = Calibration((scored.calibration_rows,), np.zeros(len(usable), dtype=np.int64))
    tried = levels(policy.screen.false_quarantine_rate, known)[:MOST_LEVELS]
    smallest, told, reasons, enforced = 1.0, list[str](), dict[int, str](), False
    for name in names:
        own = scored.detector_p[usable, list(reference.detectors).index(name)]
        looks = [(excess_of_small_p(own, known, level=level), level) for level in tried]
        if not looks:
            continue
        tests = len(looks) * len(names)
        rarest = min(looks, key=lambda look: look[0].p_value)[0]
        smallest = min(smallest, tests * rarest.p_value)
        # The largest level at which there are too many; else the one where they are rarest.
        found, level = next(
            ((one, level) for one, level in looks if tests * one.p_value <= alpha),
            min(looks, key=lambda look: look[0].p_value),
        )
        text = (
            f"{name} alone finds {found.count} records as odd as {level:.3g} of trusted ones; "
            f"{found.expected:.1f} are expected"
        )
        decides = configs[name].mode == "enforce" and policy.screen.decides
        if decides and tests * found.p_value <= alpha:
            enforced = True
            said = scored.apart.get(name, {})
            for row in usable[own <= level * (1 + 1e-9)].tolist():
                reasons.setdefault(row, f"{APART}: {said[row]}")
        told.append(text)
    if not told:
        return None
    detail, fired = "; ".join(told), smallest <= alpha
    if fired and not enforced:
        detail = f"{detail}. {REPORTED_ONLY}"
    return Apart(TestSummary(APART, smallest, alpha, fired, detail), reasons)
