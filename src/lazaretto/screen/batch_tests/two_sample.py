"""Batch tests: is the distribution of vectors the reference's? By kernel means and energy."""

from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.detect.arrays import squared_distances
from lazaretto.screen.batch_tests.base import Outcome, membership, relabeled_p

if TYPE_CHECKING:
    from collections.abc import Callable

    from lazaretto.detect.arrays import Floats
    from lazaretto.screen.batch_tests.base import Pair

FEATURES = 256
ROWS = 1000
"""Rows of either side that are compared, at most."""


def mmd(pair: Pair) -> Outcome:
    """Maximum mean discrepancy with random Fourier features of a Gaussian kernel.

    Gretton et al. (2012), "A kernel two-sample test"; features after Rahimi and Recht (2007); the
    bandwidth is the median distance between reference rows; p-value by permutation.
    """
    m, n = min(ROWS, len(pair.batch)), min(ROWS, len(pair.reference))
    rng = np.random.default_rng(pair.seed)
    rows = np.concatenate([pair.batch[:m], pair.reference[:n]])
    bandwidth = _median_distance(pair.reference)
    frequencies = rng.standard_normal((rows.shape[1], FEATURES), dtype=np.float32) / bandwidth
    phases = 2 * pi * rng.random(FEATURES, dtype=np.float32)
    features = np.cos(rows @ frequencies + phases) * (2 / FEATURES) ** 0.5
    return _outcome(pair, m, n, lambda weights: np.square(weights @ features).sum(1))


def energy(pair: Pair) -> Outcome:
    """Energy distance (Szekely and Rizzo, 2004) between samples, with its permutation p-value."""
    m, n = min(ROWS, len(pair.batch)), min(ROWS, len(pair.reference))
    rows = np.concatenate([pair.batch[:m], pair.reference[:n]])
    distance = np.sqrt(squared_distances(rows, rows)).astype(np.float32)
    # 2 E|X-Y| - E|X-X'| - E|Y-Y'|, per row of weights.
    return _outcome(pair, m, n, lambda weights: -((weights @ distance) * weights).sum(1))


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
