"""Which records of which classes to hold: the rate, and what classes without a finding may lose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lazaretto.sanitize.judge import ClassOutcome

SUSPECTS_SHARE = 0.5
"""Share of the whole rate that classes without a finding may lose between them. Chosen on models
trained on synthetic glyphs and scikit-learn's digits."""


def select(
    outcomes: list[ClassOutcome],
    fired: NDArray[np.bool_],
    groups: list[NDArray[np.int64]],
    *,
    rate: float,
    alpha: float,
    suspect_level: float,
) -> NDArray[np.bool_]:
    """Holds records of classes that fired, and of those whose own p-value makes them suspect.

    A record is held when its p-value is at most the rate. In classes that fired there is no other
    limit. Without a finding the loss is bounded: a suspect class loses at most the stated rate of
    its rows (or one). If the class's p-value is at most `alpha`, the excess over the expected
    number of outliers may be held as well: that happens to at most a share `alpha` of clean
    classes. All suspect classes lose at most `SUSPECTS_SHARE` of the rate of all rows; records with
    the smallest product of their own and their class's p-value go first.

    Args:
        outcomes: one per class.
        fired: bool (classes,), the classes with a finding.
        groups: positions of each class's rows.
        rate: the stated rate.
        alpha: level of the class test, here of a class by itself.
        suspect_level: class p-value up to which a class without a finding is searched.

    Returns:
        bool (n,) over the rows of all groups.
    """
    held = np.zeros(sum(len(g) for g in groups), bool)
    rows, weights = [], []
    for c, outcome in enumerate(outcomes):
        if outcome.p_value is None or outcome.p_rows is None:
            continue
        found = np.flatnonzero(outcome.p_rows <= rate)
        if fired[c]:
            held[groups[c][found]] = True
        elif outcome.p_value <= suspect_level:
            # Sorted by p; what beyond all trusted rows have one p, the score keeps in order.
            weight = np.log(np.maximum(outcome.p_rows[found], 1e-300)) - 1e-9 * outcome.score[found]
            more = outcome.excess if outcome.p_value <= alpha else 0.0
            most = max(1, int(rate * len(groups[c]) + more))
            first = np.argsort(weight, kind="stable")[:most]
            rows.append(groups[c][found[first]])
            weights.append(weight[first] + np.log(max(outcome.p_value, 1e-300)))
    if rows:
        chosen = np.concatenate(rows)[np.argsort(np.concatenate(weights), kind="stable")]
        held[chosen[: int(SUSPECTS_SHARE * rate * len(held))]] = True
    return held
