"""How a reference's rows are split into FIT, RANK and CAL."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from lazaretto.detect.arrays import Ints

FOLDED_BELOW = 10_000
"""References with fewer rows are cross-fitted: every row calibrates, by scorers that have not seen
it."""
FOLDS = 5
SMALLEST_REFERENCE = 30
LARGEST_RANK = 2_000
FIT_SHARE, RANK_UNTIL = 0.6, 0.7


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Rows that a scorer is not fitted on.

    Attributes:
        fold: their number.
        rank: int64, rows that its rank maps are fitted on.
        calibration: int64, the rows themselves.
    """

    fold: int
    rank: Ints
    calibration: Ints


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one scorer: those that it is fitted on, int64, and those that it leaves out."""

    fit: Ints
    left_out: tuple[LeftOut, ...]

    @property
    def unseen(self) -> Ints:
        """Every row that the scorer is not fitted on, int64."""
        rows = [np.concatenate([side.rank, side.calibration]) for side in self.left_out]
        return np.unique(np.concatenate(rows))


def partition(
    label: Ints | None, rows: int, *, seed: int, folded: bool | None = None
) -> tuple[Part, ...]:
    """Splits rows at random, evenly over the classes.

    Large references: one part, FIT 60 %, RANK 10 % (at most `LARGEST_RANK`), CAL the rest. Small
    ones: `pairs` of folds.

    Args:
        label: int64 (rows,), or None.
        rows: how many.
        seed: of the split.
        folded: overrides the choice by size; a hard promise needs one part.
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(rows)
    if label is not None:
        shuffled = shuffled[np.argsort(label[shuffled], kind="stable")]
    place = np.empty(rows, dtype=np.int64)
    place[shuffled] = np.arange(rows)
    if folded if folded is not None else rows < FOLDED_BELOW:
        return pairs(place % FOLDS, FOLDS)
    return (one_part(place % 10 / 10, rng),)


def pairs(fold: npt.NDArray[np.int64], folds: int) -> tuple[Part, ...]:
    """One part for each pair of folds, which it leaves out: either ranks the other.

    So every fold is unseen by ``folds - 1`` scorers, whose mean is the score of its rows. A record
    of a batch gets the mean of as many, those that leave out the fold that it is given by chance:
    it is scored as the calibration rows are.

    Args:
        fold: (rows,), fold of each row.
        folds: how many, at least 2.
    """
    return tuple(
        Part(
            _where((fold != a) & (fold != b)),
            (
                LeftOut(a, rank=_where(fold == b), calibration=_where(fold == a)),
                LeftOut(b, rank=_where(fold == a), calibration=_where(fold == b)),
            ),
        )
        for a, b in combinations(range(folds), 2)
    )


def one_part(share: npt.NDArray[np.float64], rng: np.random.Generator) -> Part:
    """The single part of a large reference: FIT 60 %, RANK 10 %, CAL the rest.

    Args:
        share: (rows,), where each row stands: 0 for the first, up to 1.
        rng: chooses who stays in RANK where more than `LARGEST_RANK` would; the others join CAL.
    """
    ranked = np.flatnonzero((share >= FIT_SHARE) & (share < RANK_UNTIL))
    kept = rng.permutation(ranked)[:LARGEST_RANK]
    calibration = np.concatenate([np.flatnonzero(share >= RANK_UNTIL), np.setdiff1d(ranked, kept)])
    return Part(_where(share < FIT_SHARE), (LeftOut(0, np.sort(kept), np.sort(calibration)),))


def _where(mask: npt.NDArray[np.bool_]) -> Ints:
    return np.flatnonzero(mask)
