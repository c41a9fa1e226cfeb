"""Odd records of each class, over all of a source's batches: too many, whenever one looks.

Poison that is thin in each batch adds up over the source. Nothing is learned from the batches
before: they are counted with the new ones, and held against the calibration.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import floor, log
from typing import TYPE_CHECKING

from lazaretto.stats.counts import hypergeometric_tail
from lazaretto.values import OddRecords

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

LEVELS = (0.05, 0.02, 0.01, 0.005)
"""What counts as odd: p-values up to each of these."""
MOST_CLASSES = 64
"""Where there are more classes, all records are counted as one."""
MOST_GROUPS, MOST_NAMES = 32, 256
"""Groups of a batch that are counted by themselves, the largest; and classes and groups in all."""
GROWTH = 1.4
"""A look comes when a source has delivered so many times the batches of the look before."""
_ROUNDING = 1e-12


def tally(
    p_values: npt.NDArray[np.float64], label: npt.NDArray[np.int64], classes: Sequence[str]
) -> list[OddRecords]:
    """Counts records by class; classes without any are left out.

    Args:
        p_values: float64 (m,), no NaN.
        label: int64 (m,), class of each.
        classes: their names; empty without labels.

    Examples:
        >>> import numpy as np
        >>> tally(np.array([0.01, 0.5]), np.array([0, 1]), ["ham", "spam"])[0].small
        [1, 1, 1, 0]
    """
    apart = 1 < len(classes) <= MOST_CLASSES
    found = []
    for number, name in enumerate(classes if apart else [""]):
        mine = p_values[label == number] if apart else p_values
        if len(mine):
            small = [int((mine <= level + _ROUNDING).sum()) for level in LEVELS]
            found.append(OddRecords(name, len(mine), small))
    return found


def tally_groups(
    p_values: npt.NDArray[np.float64],
    label: npt.NDArray[np.int64],
    group: npt.NDArray[np.int64],
    names: Sequence[str],
    known: Sequence[OddRecords],
    classes: Sequence[str],
) -> tuple[list[OddRecords], list[OddRecords]]:
    """Counts the records of the largest groups, class by class, and what they are held against.

    Args:
        p_values: float64 (m,), no NaN.
        label: int64 (m,), class of each.
        group: int64 (m,), number of its group; -1 of a record that is in none.
        names: of the groups, by number.
        known: of the calibration, as `tally` gives it.
        classes: their names; empty without labels.

    Returns:
        Of the groups, and under the same names what the calibration has of the class.

    Examples:
        >>> import numpy as np
        >>> zero = np.zeros(2, dtype=np.int64)
        >>> known = tally(np.array([0.5]), zero[:1], ["ham", "spam"])
        >>> mine, there = tally_groups(np.array([0.01, 0.5]), zero, np.array([0, 1]),
        ...                            ["user a", "user b"], known, ["ham", "spam"])
        >>> [one.name for one in mine], there[0].scored
        (['user a, ham', 'user b, ham'], 1)
    """
    sizes = Counter(group.tolist())
    largest = sorted(range(len(names)), key=lambda number: -sizes[number])[:MOST_GROUPS]
    by_class = {one.name: one for one in known}
    mine, there = list[OddRecords](), list[OddRecords]()
    for number in sorted(largest):
        inside = group == number
        for one in tally(p_values[inside], label[inside], classes):
            name = f"{names[number]}, {one.name}" if one.name else names[number]
            other = by_class.get(one.name)
            if other is not None:
                mine.append(OddRecords(name, one.scored, one.small))
                there.append(OddRecords(name, other.scored, other.small))
    return mine, there


@dataclass(frozen=True, slots=True)
class Slow:
    """What the batches of a source tell together, class by class.

    A look is taken after 1, 2, 3, 4, 6, 8, 11, ... batches. At each, the odd records of each class
    and level are compared with the calibration's (Fisher's exact test: given their number together,
    that of the source is hypergeometric if its records are drawn like the calibration). Look number
    j may spend ``1 / (j (j + 1))`` of the level, shared among classes and levels. So the chance
    that `p_value` of a clean source is ever at most alpha is at most alpha.

    Attributes:
        batches: how many were counted.
        looks: how many looks were taken.
        totals: of all batches.
        p_value: the smallest at the last look, adjusted for looks, classes and levels.
        name: the class where that was; empty where all are counted as one.
        level: what counted as odd there.
        count: odd records there.
        expected: their mean number in a clean source.
    """

    batches: int = 0
    looks: int = 0
    totals: tuple[OddRecords, ...] = ()
    p_value: float = 1.0
    name: str = ""
    level: float = LEVELS[0]
    count: int = 0
    expected: float = 0.0

    def after(self, batch: Sequence[OddRecords], known: Sequence[OddRecords]) -> Slow:
        """With one more batch.

        Args:
            batch: its records.
            known: the calibration rows.
        """
        if not batch:
            return self
        totals = _added(self.totals, batch)
        batches = self.batches + 1
        if not _is_look(batches):
            return Slow(batches, self.looks, totals, *self._best())
        looks = self.looks + 1
        best = (1.0, "", LEVELS[0], 0, 0.0)
        there = {one.name: one for one in known}
        tried = len(totals) * len(LEVELS) * looks * (looks + 1)
        for one in totals:
            other = there.get(one.name, OddRecords(one.name, 0, [0] * len(LEVELS)))
            for place, level in enumerate(LEVELS):
                here, both = one.small[place], one.small[place] + other.small[place]
                rows = one.scored + other.scored
                p_value = min(1.0, tried * hypergeometric_tail(here, rows, one.scored, both))
                if p_value < best[0]:
                    expected = one.scored * (other.small[place] + 1) / (other.scored + 1)
                    best = (p_value, one.name, level, here, expected)
        return Slow(batches, looks, totals, *best)

    def _best(self) -> tuple[float, str, float, int, float]:
        return self.p_value, self.name, self.level, self.count, self.expected


def _is_look(batches: int) -> bool:
    def reached(number: int) -> int:
        return floor(log(number) / log(GROWTH) + 1e-9)

    return batches == 1 or reached(batches) > reached(batches - 1)


def _added(totals: Sequence[OddRecords], batch: Sequence[OddRecords]) -> tuple[OddRecords, ...]:
    found = {one.name: one for one in totals}
    for one in batch:
        before = found.get(one.name)
        if before is None:
            if len(found) < MOST_NAMES:
                found[one.name] = one
            continue
        small = [a + b for a, b in zip(before.small, one.small, strict=True)]
        found[one.name] = OddRecords(one.name, before.scored + one.scored, small)
    return tuple(found[name] for name in sorted(found))
