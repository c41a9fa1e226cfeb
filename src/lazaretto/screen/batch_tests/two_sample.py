"""Batch tests: is the distribution of vectors the reference's? By kernel means and energy."""

from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING

import torch

from lazaretto.screen.batch_tests.base import Outcome, membership, relabeled_p

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

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
    generator = torch.Generator().manual_seed(pair.seed)
    rows = torch.cat([pair.batch[:m], pair.reference[:n]])
    bandwidth = _median_distance(pair.reference)
    frequencies = torch.randn(rows.shape[1], FEATURES, generator=generator) / bandwidth
    phases = 2 * pi * torch.rand(FEATURES, generator=generator)
    features = torch.cos(rows @ frequencies + phases) * (2 / FEATURES) ** 0.5
    return _outcome(pair, m, n, lambda weights: (weights @ features).square().sum(1))


def energy(pair: Pair) -> Outcome:
    """Energy distance (Szekely and Rizzo, 2004) between samples, with its permutation p-value."""
    m, n = min(ROWS, len(pair.batch)), min(ROWS, len(pair.reference))
    rows = torch.cat([pair.batch[:m], pair.reference[:n]])
    distance = torch.cdist(rows, rows)
    # 2 E|X-Y| - E|X-X'| - E|Y-Y'|, per row of weights.
    return _outcome(pair, m, n, lambda weights: -((weights @ distance) * weights).sum(1))


def _outcome(pair: Pair, m: int, n: int, statistic: Callable[[Tensor], Tensor]) -> Outcome:
    observed = float(statistic(membership(m, n)))
    p_value = relabeled_p(
        observed,
        statistic,
        first=m,
        second=n,
        permutations=pair.permutations,
        seed=pair.seed,
    )
    return Outcome(p_value, f"discrepancy {observed:.3g} between {m} records and {n} trusted ones")


def _median_distance(rows: Tensor) -> float:
    some = rows[:500]
    distance = torch.pdist(some) if len(some) > 1 else torch.ones(1)
    return max(float(distance.median()), 1e-12)
