"""What the decision rule finds of poison whose p-values are known: by trial, on drawn batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.stats.conformal import Calibration, levels, suspects
from lazaretto.stats.localised import Budget, broad_excess, class_excess

if TYPE_CHECKING:
    from lazaretto.stats.localised import KnownRows

RECORDS, ROUNDS = 1000, 12
"""Records of a drawn batch, and batches that are drawn."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What the decision rule asks of the policy.

    Attributes:
        rate: false quarantine rate.
        alpha: level of the batch tests.
        hold: ``evidence`` or ``rate``.
        limit: largest share of poison that may remain.
        held: share of held records from which the whole batch is held.
        apart: whether a detector is judged by itself, with a share of the rate.
    """

    rate: float
    alpha: float
    hold: str
    limit: float
    held: float
    apart: bool = False


def predicted_recall(
    known: KnownRows, poison: KnownRows, *, share: float, rule: Rule, seed: int
) -> float:
    """Share of poisoned records that are held, on average over drawn batches.

    A batch is drawn from the calibration rows and from rows that were poisoned and scored. Where it
    is held as a whole, all of its poison is. What only vectors show (neighbourhoods, copies, spread
    of a class) is left out, so the figure is rather too small.

    Args:
        known: the calibration rows.
        poison: rows that were poisoned, judged as records of a batch.
        share: of poison in a batch, between 0 and 1.
        rule: what the policy asks.
        seed: of what is drawn.

    Examples:
        >>> import numpy as np
        >>> from lazaretto.stats.localised import KnownRows
        >>> label = np.zeros(999, dtype=np.int64)
        >>> known = KnownRows(np.arange(1, 1000) / 1000, label)
        >>> extreme = KnownRows(np.full(50, 0.001), label[:50])
        >>> rule = Rule(0.01, 0.001, "evidence", 0.05, 0.2)
        >>> predicted_recall(known, extreme, share=0.05, rule=rule, seed=0)
        1.0
    """
    rng = np.random.default_rng(seed)
    bad = max(1, round(share * RECORDS))
    calibration = Calibration((len(known.p_value),), np.zeros(RECORDS, dtype=np.int64))
    budget = Budget.of(rule.rate, rule.alpha, RECORDS, apart=rule.apart)
    found = 0.0
    for _ in range(ROUNDS):
        mine = rng.integers(len(poison.p_value), size=bad)
        others = rng.integers(len(known.p_value), size=RECORDS - bad)
        p_value = np.concatenate([poison.p_value[mine], known.p_value[others]])
        label = np.concatenate([poison.label[mine], known.label[others]])
        held = suspects(
            p_value,
            calibration,
            rate=rule.rate,
            alpha=rule.alpha,
            rule="rate" if rule.hold == "rate" else "evidence",
        )
        if rule.hold == "evidence":
            tried = levels(rule.rate, calibration)
            for one in class_excess(p_value, label, known, levels=tried, alpha=budget.classes):
                if one.p_value <= budget.classes:
                    held |= (label == one.label) & (p_value <= one.level)
        whole = held.mean() >= rule.held
        if not whole and broad_excess(p_value, calibration).p_value <= budget.broad:
            rest = broad_excess(p_value[~held], calibration.keep(~held))
            whole = rest.remaining > rule.limit
        found += 1.0 if whole else float(held[:bad].mean())
    return found / ROUNDS
