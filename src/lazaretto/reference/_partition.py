"""How a reference's rows are split into FIT, RANK and CAL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from lazaretto.detect.arrays import Ints

FOLDED_BELOW = 10_000
"""References with fewer rows are cross-fitted: every row serves FIT and CAL, in different folds."""
FOLDS = 10
SMALLEST_REFERENCE = 30
LARGEST_RANK = 2_000
FIT_SHARE, RANK_UNTIL = 0.6, 0.7


@dataclass(frozen=True, slots=True)
class Part:
    """Row numbers, int64, of three disjoint sets."""

    fit: Ints
    rank: Ints
    calibration: Ints


def partition(
    label: Ints | None, rows: int, *, seed: int, folded: bool | None = None
) -> tuple[Part, ...]:
    """Splits rows at random, evenly over the classes.

    Large references: one part, FIT 60 %, RANK 10 % (at most `LARGEST_RANK`), CAL the rest. Small
    ones: K rotations; fold f is CAL, fold f + 1 is RANK and the others are FIT, so that the CAL
    sets together are the whole reference.

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
        return rotations(place % FOLDS, FOLDS)
    return (one_part(place % 10 / 10, rng),)


def rotations(fold: npt.NDArray[np.int64], folds: int) -> tuple[Part, ...]:
    """One part per fold: fold f is CAL, fold f + 1 is RANK, and the others are FIT.

    Args:
        fold: (rows,), fold of each row.
        folds: how many.
    """
    return tuple(
        Part(
            fit=_where((fold != f) & (fold != (f + 1) % folds)),
            rank=_where(fold == (f + 1) % folds),
            calibration=_where(fold == f),
        )
        for f in range(folds)
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
    return Part(
        fit=_where(share < FIT_SHARE),
        rank=np.sort(kept),
        calibration=np.sort(calibration),
    )


def _where(mask: npt.NDArray[np.bool_]) -> Ints:
    return np.flatnonzero(mask)
