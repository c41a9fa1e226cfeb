"""Evidence in one class, and evidence in the whole batch before anything is held.

One pooled tail hides poison that carries one label: clean records of the other classes dilute it.
And a count of the smallest p-values hides poison that is only a little odd: it lies all over the
lower half. Each has a test here, with its own share of one budget (`Budget`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.stats.conformal import LOCAL_FROM, excess_of_small_p, hochberg_rate
from lazaretto.stats.counts import hypergeometric_tail

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from lazaretto.stats.conformal import Calibration

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

BROAD_LEVELS = (0.05, 0.1, 0.2, 0.3, 0.5)
"""What counts as small when the whole batch is looked at before anything is held."""
TELLING = 0.05
"""Level at which what is left of a batch still differs from a clean one."""
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Budget:
    """How the chance that anything of a clean batch is held is shared out.

    The parts add up to at most ``rate + alpha``, which is what is promised. None waits for another
    one: a part that finds nothing leaves the others what they have.

    Attributes:
        hochberg: rate of Benjamini-Hochberg over all records.
        pooled: level of the count of small p-values over all records.
        classes: level of the same count in each class, over all classes.
        scan: level of the search for neighbourhoods, and of that in named groups.
        apart: level of the counts of detectors that are judged by themselves.
        broad: level of the count up to `BROAD_LEVELS`, which may hold the batch; at most ``alpha``.
    """

    hochberg: float
    pooled: float
    classes: float
    scan: float
    broad: float
    apart: float = 0.0

    @classmethod
    def of(cls, rate: float, alpha: float, records: int, *, apart: bool = False) -> Budget:
        """The shares for a batch of so many records.

        A batch of fewer than `LOCAL_FROM` records is judged over all records alone: its parts are
        too small to show anything, and every share would be taken from what can.

        Args:
            rate: the stated false quarantine rate.
            alpha: level of the batch tests.
            records: of the batch that have a p-value.
            apart: whether any detector is judged by itself; else the others have its share.

        Examples:
            >>> from dataclasses import astuple
            >>> round(sum(astuple(Budget.of(0.01, 0.001, 2000, apart=True))), 6)
            0.011
        """
        hochberg = hochberg_rate(rate, records)
        left = rate - hochberg if records >= LOCAL_FROM else 0.0
        by_itself = left / 5 if apart else 0.0
        left = (left - by_itself) / 12
        # It holds a whole batch, so that who lowers that chance lowers this one.
        broad = min(left * 2, alpha)
        return cls(hochberg, alpha, left * 5, left * 5, broad, by_itself)


@dataclass(frozen=True, slots=True)
class KnownRows:
    """The calibration rows, judged as if they were records of a batch. n rows.

    Attributes:
        p_value: float64 (n,), of each among all of them.
        label: int64 (n,), class of each; zeros without labels.
    """

    p_value: Floats
    label: Ints


@dataclass(frozen=True, slots=True)
class ClassExcess:
    """The small p-values of a class, held against its own calibration rows.

    Attributes:
        label: number of the class.
        level: largest p-value that counts as small: the largest level at which there are too many,
            or where that is rarest if there are at none.
        count: records of the class up to it.
        expected: their number if the batch were like the calibration.
        p_value: of the count, over all classes and levels that were tried (Bonferroni).
    """

    label: int
    level: float
    count: int
    expected: float
    p_value: float


def class_excess(
    p_values: Floats,
    label: Ints,
    known: KnownRows,
    *,
    levels: Sequence[float],
    alpha: float,
) -> list[ClassExcess]:
    """The classes whose count of small p-values is more than their calibration rows explain.

    A class is held against itself: where its clean records often look odd, its calibration rows do,
    too. Given the counts of both sides together, that of the batch is hypergeometric if they are
    exchangeable (Fisher's exact test). That is the tail of a beta-binomial distribution with the
    calibration's count and one more.

    Args:
        p_values: float64 (m,), no NaN.
        label: int64 (m,), class of each.
        known: the calibration rows.
        levels: what counts as small, in descending order.
        alpha: chance that any class of a clean batch is named.

    Returns:
        One for each class of the batch, by number. Those with ``p_value <= alpha`` are named.

    Examples:
        >>> import numpy as np
        >>> usual = np.arange(1, 1001) / 1001
        >>> known = KnownRows(usual, np.zeros(1000, dtype=np.int64))
        >>> p = np.concatenate([np.full(12, 0.002), usual])
        >>> [found] = class_excess(p, np.zeros(1012, dtype=np.int64), known, levels=[0.01, 0.005],
        ...                        alpha=0.01)
        >>> found.level, found.count
        (0.005, 17)
    """
    classes = np.unique(label).tolist()
    tried = max(1, len(classes) * len(levels))
    found = []
    for number in classes:
        mine, theirs = p_values[label == number], known.p_value[known.label == number]
        best: ClassExcess | None = None
        for level in levels:
            here = int((mine <= level + _ROUNDING).sum())
            there = int((theirs <= level + _ROUNDING).sum())
            both, total = here + there, len(mine) + len(theirs)
            chance = min(1.0, tried * hypergeometric_tail(here, total, len(mine), both))
            if best is None or chance < best.p_value:
                expected = len(mine) * (there + 1) / (len(theirs) + 1)
                best = ClassExcess(number, float(level), here, expected, chance)
            if chance <= alpha:
                break
        if best is not None:
            found.append(best)
    return found


@dataclass(frozen=True, slots=True)
class Broad:
    """How far the lower half of a batch's p-values is fuller than calibration explains.

    Attributes:
        p_value: over the levels that were tried (Bonferroni).
        level: what counted as small where that was rarest.
        count: records up to it, before anything was held.
        expected: their mean number in a clean batch.
        share: estimated share of records that a clean batch would not have. Poison whose p-value is
            as a clean record's does not show in it.
    """

    p_value: float
    level: float
    count: int
    expected: float
    share: float

    @property
    def remaining(self) -> float:
        """Where this is of what is not held: the estimated share of poison in it.

        0 where it looks like what a clean batch would leave, as far as so many records can tell.
        """
        return self.share if self.p_value <= TELLING else 0.0


def broad_excess(p_values: Floats, calibration: Calibration) -> Broad:
    """Counts p-values up to each of `BROAD_LEVELS`, before anything is held.

    The share of poison is Storey's (2002, "A direct approach to false discovery rates", section 3):
    of p-values above a level, a clean batch has the share that calibration says. The level that
    gives the most counts.

    Args:
        p_values: conformal, float64 (m,), m at least 1, no NaN.
        calibration: of these records.
    """
    m = len(p_values)
    looks = [
        (excess_of_small_p(p_values, calibration, level=level), level) for level in BROAD_LEVELS
    ]
    rarest, level = min(looks, key=lambda look: look[0].p_value)
    share = max((found.count - found.expected) / max(1.0, m - found.expected) for found, _ in looks)
    return Broad(
        min(1.0, len(looks) * rarest.p_value), level, rarest.count, rarest.expected, max(0.0, share)
    )
