"""Batch tests: is the distribution of vectors the reference's? By kernel means and energy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lazaretto.detect.arrays import squared_distances
from lazaretto.screen.batch_tests.base import Outcome, membership, relabeled_p

if TYPE_CHECKING:
    from collections.abc import Callable

    from lazaretto.detect.arrays import Floats
    from lazaretto.screen.batch_tests.base import Pair

ROWS = 1000
"""Rows of the batch that are compared, at most; with those of the reference at most twice as many:
fewer of the one leave room for more of the other."""


def mmd(pair: Pair) -> Outcome:
    """Maximum mean discrepancy with a Gaussian kernel, with its permutation p-value.

    Gretton et al. (2012), "A kernel two-sample test". The bandwidth is the median distance between
    reference rows. The kernel is not replaced by random features: what they miss would hang on the
    seed.
    """
    rows, m = _rows(pair)
    kernel = squared_distances(rows, rows).astype(np.float32)
    kernel *= np.float32(-0.5 / _median_distance(pair.reference) ** 2)
    np.exp(kernel, out=kernel)
    return _outcome(pair, m, len(rows) - m, lambda weights: ((weights @ kernel) * weights).sum(1))


def energy(pair: Pair) -> Outcome:
    """Energy distance (Szekely and Rizzo, 2004) between samples, with its permutation p-value."""
    rows, m = _rows(pair)
    distance = np.sqrt(squared_distances(rows, rows)).astype(np.float32)
    # 2 E|X-Y| - E|X-X'| - E|Y-Y'|, per row of weights.
    return _outcome(
        pair, m, len(rows) - m, lambda weights: -((weights @ distance) * weights).sum(1)
    )


def _rows(pair: Pair) -> tuple[Floats, int]:
    """The rows that are compared, those of the batch first, and how many these are."""
    m = min(ROWS, len(pair.batch))
    return np.concatenate([pair.batch[:m], pair.reference[: 2 * ROWS - m]]), m


def _outcome(pair: Pair, m: int, n: int, statistic: Callable[[Floats], Floats]) -> Outcome:
    observed = float(statistic(membership(m, n))[0])
    p_value = relabeled_p(
        observed,
        statistic,
        first=m,
        second=n,
        permutations=pair.permutations,
        seed=pair.seed,
    )
    return Outcome(p_value, f"discrepancy {observed:.3g} between {m} records and {n} trusted ones")


def _median_distance(rows: Floats) -> float:
    some = rows[:500]
    if len(some) < 2:
        return 1.0
    distance = np.sqrt(squared_distances(some, some))[np.triu_indices(len(some), 1)]
    return max(float(np.median(distance)), 1e-12)
