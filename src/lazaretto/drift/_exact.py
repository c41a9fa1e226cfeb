"""Exact tests of one column: valid for a batch of one record, and for one of ten thousand."""

from __future__ import annotations

from math import exp, lgamma, log
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.screen.batch_tests.base import permutation_p
from lazaretto.stats.counts import hypergeometric_tail
from lazaretto.stats.tails import chi_squared_tail, kolmogorov_tail

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

SMALL = 100
"""A batch of at most so many values is compared by exact distributions."""
LARGEST_OTHER = 1000
SMALLEST_P = 1e-10
"""What is lost to rounding when a probability near one is taken from one."""
EXPECTED = 5.0
"""From so many expected records in each cell the chi-squared distribution is near enough."""
MOST_CELLS = 20
PERMUTATIONS = 9_999
SEED = 7
_ROUNDING = 1e-9


def smirnov_p(distance: float, m: int, n: int) -> float:
    """P(D >= distance) for the two-sided distance of two samples' distributions.

    Exact for a small sample (J. L. Hodges, 1958, "The significance probability of the Smirnov
    two-sample test": paths from corner to corner that stay within the distance of the diagonal are
    counted), and an upper bound where values are tied. Beyond `SMALL` by Kolmogorov's limit.

    Args:
        distance: 0 to 1.
        m: size of one sample, at least 1.
        n: size of the other.
    """
    m, n = min(m, n), max(m, n)
    if distance <= 0:
        return 1.0
    if m > SMALL:
        return kolmogorov_tail(distance, max(1, round(m * n / (m + n))))
    # A larger sample than it is makes the distances of chance smaller, so this one errs safely.
    n = min(n, LARGEST_OTHER)
    y = np.arange(n + 1) / n
    paths = np.minimum.accumulate(np.where(y < distance - _ROUNDING, 1.0, 0.0))
    for x in range(1, m + 1):
        inside = np.abs(x / m - y) < distance - _ROUNDING
        paths = np.where(inside, np.cumsum(np.where(inside, paths, 0.0)), 0.0)
    every = lgamma(m + n + 1) - lgamma(m + 1) - lgamma(n + 1)
    never = 0.0 if paths[-1] <= 0 else exp(log(paths[-1]) - every)
    return min(1.0, max(SMALLEST_P, 1 - never))


def counts_p(reference: Ints, batch: Ints) -> float:
    """P-value of two rows of counts: chi-squared where every cell is well filled.

    Else by permutation: which of all records lie in the batch is drawn again and again. Rare cells
    are put together first, by their totals, which a permutation does not change.

    Args:
        reference: int64 (c,).
        batch: int64 (c,).
    """
    total = reference + batch
    kept = np.flatnonzero(total > 0)
    m = int(batch.sum())
    if len(kept) < 2 or not m or not reference.sum():
        return 1.0
    small = m <= SMALL
    together = _cells(total[kept], m / total.sum(), small)
    cells = np.stack(
        [
            np.bincount(together, weights=side[kept], minlength=together.max() + 1)
            for side in (batch, reference)
        ]
    ).astype(np.int64)
    total = cells.sum(0)
    expected = m * total / total.sum()

    def statistic(counts: npt.NDArray[np.int64]) -> Floats:
        # Both rows of the table: what one has more, the other has less.
        other = expected * (total.sum() - m) / m
        return np.asarray(((counts - expected) ** 2 * (1 / expected + 1 / other)).sum(-1))

    observed = float(statistic(cells[0]))
    if len(total) < 2:
        return 1.0
    if expected.min() >= EXPECTED and not small:
        return chi_squared_tail(observed, len(total) - 1)
    rng = np.random.default_rng(SEED)
    return permutation_p(
        observed,
        lambda rows: statistic(rng.multivariate_hypergeometric(total, m, rows)),
        permutations=PERMUTATIONS,
        slack=1e-9 * max(1.0, observed),
    )


def more_p(here: int, m: int, there: int, n: int) -> float:
    """P-value of a count that is larger in a batch than by chance (Fisher's exact test, one side).

    Args:
        here: marked records of the batch.
        m: its records.
        there: marked rows of the reference.
        n: its rows.
    """
    return hypergeometric_tail(here, m + n, here + there, m)


def _cells(total: Ints, share: float, small: bool) -> Ints:
    """Which cell each category is counted in: rare ones share one."""
    order = np.argsort(-total, kind="stable")
    cell = np.empty(len(total), dtype=np.int64)
    expected = total[order] * share
    kept = int((expected >= EXPECTED).sum()) if not small else min(len(total), MOST_CELLS - 1)
    if not small and 0 < kept < len(total) and expected[kept:].sum() < EXPECTED:
        kept -= 1  # the rest is too rare for a cell of its own
    cell[order] = np.minimum(np.arange(len(total)), kept)
    return cell
