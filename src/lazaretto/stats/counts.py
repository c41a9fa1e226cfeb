"""Distributions of counts, as SciPy has them, for callers that cannot wait 0.7 s for its import."""

from __future__ import annotations

from math import lgamma, log, log1p, sqrt
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


def binomial(n: int, p: float, low: int, high: int) -> Floats:
    """P(X = low), ..., P(X = high) for X of Binomial(n, p).

    Args:
        n: trials, at least `high`.
        p: chance of each, between 0 and 1, both left out.
        low: smallest count, at least 0.
        high: largest count, at least `low`.
    """
    first = _log_choose(n, low) + low * log(p) + (n - low) * log1p(-p)
    k = np.arange(low, high)
    return _from_ratios(first, np.log(n - k) - np.log(k + 1) + (log(p) - log1p(-p)))


def beta_binomial(n: int, a: float, b: float, low: int, high: int) -> Floats:
    """P(X = low), ..., P(X = high) for X of BetaBinomial(n, a, b).

    Args:
        n: trials, at least `high`.
        a: positive, as the next.
        b: shapes of the chance's distribution.
        low: smallest count, at least 0.
        high: largest count, at least `low`.
    """
    first = _log_choose(n, low) + _log_beta(low + a, n - low + b) - _log_beta(a, b)
    k = np.arange(low, high)
    steps = np.log(n - k) + np.log(k + a) - np.log(k + 1) - np.log(n - k - 1 + b)
    return _from_ratios(first, steps)


def beta_binomial_moments(n: int, a: float, b: float) -> tuple[float, float]:
    """Mean and standard deviation of BetaBinomial(n, a, b)."""
    p = a / (a + b)
    return n * p, sqrt(n * p * (1 - p) * (a + b + n) / (a + b + 1))


def hypergeometric_tail(count: int, total: int, marked: int, drawn: int) -> float:
    """P(X >= count), X the marked among `drawn` of `total` things of which `marked` are marked."""
    lowest, highest = max(0, drawn + marked - total), min(marked, drawn)
    if count <= lowest:
        return 1.0
    if count > highest:
        return 0.0
    first = (
        _log_choose(marked, count)
        + _log_choose(total - marked, drawn - count)
        - _log_choose(total, drawn)
    )
    k = np.arange(count, highest)
    steps = np.log(marked - k) + np.log(drawn - k) - np.log(k + 1)
    steps = steps - np.log(total - marked - drawn + k + 1)
    return min(1.0, float(_from_ratios(first, steps).sum()))


def hypergeometric(total: int, marked: int, drawn: int) -> tuple[int, Floats]:
    """The smallest count of marked things among those drawn, and P(X = it), P(X = it + 1), ...

    Args:
        total: things.
        marked: of them.
        drawn: of them, without putting any back.
    """
    lowest, highest = max(0, drawn + marked - total), min(marked, drawn)
    first = (
        _log_choose(marked, lowest)
        + _log_choose(total - marked, drawn - lowest)
        - _log_choose(total, drawn)
    )
    k = np.arange(lowest, highest)
    steps = np.log(marked - k) + np.log(drawn - k) - np.log(k + 1)
    return lowest, _from_ratios(first, steps - np.log(total - marked - drawn + k + 1))


def _from_ratios(first: float, steps: Floats) -> Floats:
    """Probabilities from the first one's logarithm and those of each over the one before."""
    return np.exp(first + np.concatenate([[0.0], steps.cumsum()]))


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
