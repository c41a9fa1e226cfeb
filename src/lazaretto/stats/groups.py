"""Groups of records that have more odd ones than their classes explain."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.stats.counts import hypergeometric

if TYPE_CHECKING:
    import numpy.typing as npt

    from lazaretto.stats.localised import KnownRows

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

GROUP_LEVELS = (0.3, 0.1, 0.03, 0.01)
"""What counts as odd in a group. Poison of one hand need not be extreme to be all of it."""
FEWEST = 5
"""Records of a group, so that it is looked at."""
_WORTH = 2.0
"""Standard deviations above what is expected, below which the exact chance is not computed."""


@dataclass(frozen=True, slots=True)
class GroupExcess:
    """The odd records of one group, held against calibration rows of the same classes.

    Attributes:
        group: number of the group.
        records: of the batch in it.
        level: largest p-value that counts as odd, where there are too many.
        count: records of the group up to it.
        expected: their mean number if the group were like the calibration.
        share: estimated share of the group that calibration does not explain (Storey, 2002).
        p_value: of the count, over all groups and levels that were tried (Bonferroni).
    """

    group: int
    records: int
    level: float
    count: int
    expected: float
    share: float
    p_value: float


def group_excess(
    p_values: Floats, label: Ints, group: Ints, known: KnownRows, *, alpha: float, columns: int = 1
) -> list[GroupExcess]:
    """The groups that have more odd records than their classes explain.

    An annotator who labels one class only is held against that class: in each class, given the odd
    records of the group and of the calibration together, that of the group is hypergeometric if
    they are exchangeable, and the classes' counts are added (a stratified exact test; Mantel, 1963,
    section 2).

    Args:
        p_values: float64 (m,), no NaN.
        label: int64 (m,), class of each.
        group: int64 (m,), number of its group; -1 of a record that is in none.
        known: the calibration rows.
        alpha: chance that any group of a clean batch is named, over all columns.
        columns: so many columns of groups share it.

    Returns:
        Those with a p-value of at most alpha, the rarest first; if there is none, the rarest.

    Examples:
        >>> import numpy as np
        >>> from lazaretto.stats.localised import KnownRows
        >>> usual = (np.arange(1000) * 37 % 1000 + 1) / 1001
        >>> zeros = np.zeros(1000, dtype=np.int64)
        >>> p = np.where(np.arange(1000) < 12, 0.02, usual)
        >>> [found] = group_excess(p, zeros, np.arange(1000) // 20, KnownRows(usual, zeros),
        ...                        alpha=0.001)
        >>> found.group, found.count
        (0, 12)
    """
    if not (group >= 0).any():
        return []
    sizes = np.bincount(group[group >= 0])
    looked = np.flatnonzero(sizes >= FEWEST)
    tried = len(looked) * len(GROUP_LEVELS) * columns
    classes = int(max(label.max(initial=0), known.label.max(initial=0))) + 1
    there = np.bincount(known.label, minlength=classes)
    best: dict[int, GroupExcess] = {}
    shares: dict[int, float] = {}
    inside = np.isin(group, looked)
    cell = group[inside] * classes + label[inside]
    cells, place = np.unique(cell, return_inverse=True)
    mine = np.bincount(place)
    for level in GROUP_LEVELS:
        odd = np.bincount(place, weights=p_values[inside] <= level + 1e-12).astype(np.int64)
        odd_there = np.bincount(known.label[known.p_value <= level + 1e-12], minlength=classes)
        start = 0
        for number in looked.tolist():
            stop = int(np.searchsorted(cells, (number + 1) * classes))
            rows = [
                (int(mine[i]), int(odd[i]), int(there[c]), int(odd_there[c]))
                for i in range(start, stop)
                for c in [int(cells[i] % classes)]
            ]
            start = stop
            count = sum(row[1] for row in rows)
            expected = sum(m * (k + 1) / (n + 1) for m, _, n, k in rows)
            share = (count - expected) / max(1.0, int(sizes[number]) - expected)
            shares[number] = max(shares.get(number, 0.0), share)
            chance = min(1.0, tried * _chance(rows, count, expected))
            if number not in best or chance < best[number].p_value:
                best[number] = GroupExcess(
                    number, int(sizes[number]), level, count, expected, 0.0, chance
                )
    ordered = sorted(best.values(), key=lambda one: one.p_value)
    found = [one for one in ordered if one.p_value <= alpha] or ordered[:1]
    return [
        GroupExcess(
            one.group,
            one.records,
            one.level,
            one.count,
            one.expected,
            shares[one.group],
            one.p_value,
        )
        for one in found
    ]


def _chance(rows: list[tuple[int, int, int, int]], count: int, expected: float) -> float:
    """P(at least so many odd records), the classes' counts added.

    Args:
        rows: of each class: records of the group, odd ones, calibration rows, odd ones.
        count: odd records of the group.
        expected: of it.
    """
    if count < expected + _WORTH * sqrt(max(expected, 0.25)):
        return 1.0
    low, mass = 0, np.ones(1)
    for mine, odd, there, odd_there in rows:
        lowest, own = hypergeometric(mine + there, odd + odd_there, mine)
        low, mass = low + lowest, np.convolve(mass, own)
    return float(min(1.0, mass[max(0, count - low) :].sum()))
