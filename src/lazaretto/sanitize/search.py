"""Which records of which classes to hold: the rate, kept by what quiet classes would lose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lazaretto.sanitize.judge import ClassOutcome

QUIET = 0.1
"""Class p-value above which a class has nothing to say, so that its rows can correct the rate."""

SUSPECTS_SHARE = 0.5
"""Share of the whole rate that classes without a finding may lose between them. Both chosen on
models trained on synthetic glyphs and scikit-learn's digits."""

_QUIET_ROWS = 3
"""Rows that quiet classes must be expected to lose before they can correct the rate."""


def search(
    outcomes: list[ClassOutcome],
    fired: NDArray[np.bool_],
    groups: list[NDArray[np.int64]],
    *,
    rate: float,
    suspect_level: float,
) -> NDArray[np.bool_]:
    """Holds records of classes that fired, and of those whose own p-value makes them suspect.

    A record is held when its p-value is within the bound for one of the evidence that its class is
    searched by; those share the rate. In classes that fired there is no other limit. Suspect
    classes lose at most `SUSPECTS_SHARE` of the rate between them, the records first whose own
    p-value times their class's is smallest: what no finding backs is bounded.

    Args:
        outcomes: one per class.
        fired: bool (classes,), the classes with a finding.
        groups: positions of each class's rows.
        rate: the stated rate.
        suspect_level: class p-value up to which a class without a finding is searched.

    Returns:
        bool (n,) over the rows of all groups.
    """
    held = np.zeros(sum(len(g) for g in groups), bool)
    rows, weights = [], []
    bounds: dict[tuple[str, int], float] = {}
    for c, outcome in enumerate(outcomes):
        if outcome.p_value is None or not (fired[c] or outcome.p_value <= suspect_level):
            continue
        found, least = _within(outcome, outcomes, rate, bounds)
        if fired[c]:
            held[groups[c][found]] = True
            continue
        rows.append(groups[c][found])
        # Sorted by p; what beyond all trusted rows have one p, the score keeps in order.
        order = np.log(np.maximum(least[found], 1e-300) * outcome.p_value)
        weights.append(order - 1e-9 * outcome.score[found])
    if rows:
        chosen = np.concatenate(rows)[np.argsort(np.concatenate(weights), kind="stable")]
        held[chosen[: int(SUSPECTS_SHARE * rate * len(held))]] = True
    return held


def _within(
    outcome: ClassOutcome,
    outcomes: list[ClassOutcome],
    rate: float,
    bounds: dict[tuple[str, int], float],
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which records (n,) are within a bound, and their smallest p-values (n,)."""
    names = outcome.searched_by
    found = np.zeros(len(outcome.score), bool)
    for name in names:
        key = (name, len(names))
        if key not in bounds:
            bounds[key] = quiet_bound(outcomes, name, rate / len(names))
        found |= outcome.p_rows[name] <= bounds[key]
    return found, np.min([outcome.p_rows[name] for name in names], axis=0)


def quiet_bound(outcomes: list[ClassOutcome], name: str, rate: float) -> float:
    """The p-value up to which quiet classes would lose at most `rate` of their rows.

    Training rows and trusted rows are never quite alike, and directions are learned from what tells
    the two apart. Rows of classes without a finding show by how much p-values are too small. Where
    they are too large, as those of memorised rows are, the bound stays at `rate`: classes differ in
    that, and one whose rows are remembered less would lose more than was stated.
    """
    quiet = [o.p_rows[name] for o in outcomes if o.p_value is not None and o.p_value > QUIET]
    p_rows = np.concatenate(quiet) if quiet else np.zeros(0)
    lost = int(len(p_rows) * rate)
    if lost < _QUIET_ROWS:
        return rate
    # The largest p-value of which at most `lost` rows are within reach.
    edge = np.partition(p_rows, lost)[lost]
    return float(min(np.nextafter(edge, 0), rate))
