"""Rows that follow one another: found by how alike neighbours in the file are, split by stretches.

Windows that are cut from one series overlap or touch, so that a row is much like the one before.
Split at random, a window is calibrated against its own neighbours and looks more ordinary than a
window of another day will. Split by stretches of time it is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lazaretto.reference._partition import Part, pairs

if TYPE_CHECKING:
    import numpy.typing as npt

    from lazaretto.detect.arrays import Floats

ALIKE = 0.6
"""Rows follow one another where neighbours lie at most this much apart, as a share of the usual."""
FEWEST_ROWS = 50
MOST_PAIRS = 4000


def time_blocks(time: npt.NDArray[np.float64], folds: int) -> tuple[Part, ...]:
    """Parts whose folds are stretches of time, of equal size; a moment is in one fold only.

    Args:
        time: float64 (rows,), any increasing unit; rows without one come first.
        folds: at most; fewer where there are fewer moments.
    """
    known = np.where(np.isnan(time), -np.inf, time)
    moments, moment = np.unique(known, return_inverse=True)
    count = min(folds, len(moments))
    if count < 3:
        return ()
    ends = np.cumsum(np.bincount(moment))
    before = (ends - 1) / len(time)
    fold = np.minimum((before * count).astype(np.int64), count - 1)
    fold = np.unique(fold, return_inverse=True)[1].reshape(-1)
    return pairs(fold[moment], int(fold.max()) + 1) if fold.max() >= 2 else ()


def alike_in_order(
    rows: Floats, label: npt.NDArray[np.int64] | None, order: npt.NDArray[np.int64], seed: int
) -> float | None:
    """How far a row lies from the next one, as a share of two rows of one class; None: too few.

    About 1 where rows are independent of each other; near 0 for windows that overlap.

    Args:
        rows: float32 (n, d).
        label: int64 (n,); None without labels. Pairs of one class are compared, because a file that
            is sorted by class has neighbours that are alike for that reason.
        order: int64 (n,), of the rows.
        seed: of the pairs that are compared with.
    """
    if len(rows) < FEWEST_ROWS:
        return None
    rng = np.random.default_rng(seed)
    first, second = order[:-1], order[1:]
    other = rng.permutation(order)
    if label is not None:
        same = label[first] == label[second]
        first, second = first[same], second[same]
        # A partner of the same class, from anywhere: shuffled within each class.
        by_class = other[np.argsort(label[other], kind="stable")]
        left, right = by_class[:-1], by_class[1:]
        matched = label[left] == label[right]
        left, right = left[matched], right[matched]
    else:
        left, right = other[:-1], other[1:]
    if len(first) < FEWEST_ROWS or len(left) < FEWEST_ROWS:
        return None
    near = _distances(rows, first[:MOST_PAIRS], second[:MOST_PAIRS])
    usual = float(np.median(_distances(rows, left[:MOST_PAIRS], right[:MOST_PAIRS])))
    return float(np.median(near)) / usual if usual > 0 else None


def order_note(alike: float | None, by_time: bool, grouped: bool) -> str | None:
    """What to tell where rows follow one another; None where they do not."""
    if alike is None or alike > ALIKE:
        return None
    said = (
        f"each row is much like the one before it ({alike:.0%} of the usual distance), as windows "
        "of one series are. The stated rate is for records that do not depend on each other: "
        "deliver windows that do not overlap"
    )
    if by_time or grouped:
        return f"{said}. Folds are kept apart by columns.reference_{'time' if by_time else 'group'}"
    return f"{said}, and name columns.reference_time or reference_group to keep stretches apart"


def _distances(
    rows: Floats, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    return np.asarray(np.linalg.norm(rows[first] - rows[second], axis=1), dtype=np.float64)
