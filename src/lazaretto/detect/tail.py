"""Turns a detector's raw score into a reference rank on a common, unbounded scale."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lazaretto.detect.arrays import Floats

KNOTS = 65
SHORTEST_TAIL = 12
"""Rows that the tail is fitted on, at least."""


@dataclass(frozen=True, slots=True)
class TailRank:
    """A strictly increasing map from score to ``-log(share of reference rows that score higher)``.

    Below a threshold it is the empirical rank. Beyond, an empirical rank would call everything past
    the last reference row the same, so the tail is a generalised Pareto distribution fitted by
    probability-weighted moments (Hosking and Wallis, 1987, section 3), its shape kept in [0, 0.9]:
    heavy-tailed detectors grow slowly, and no rank is infinite. The map only makes detectors
    comparable; conformal calibration afterwards is valid whatever it is.

    Attributes:
        knots: float64 (`KNOTS`,), quantiles of the scores up to the threshold (the last knot).
        tail: share of the reference beyond the threshold.
        scale: of the tail, positive.
        shape: of the tail, 0 (exponential) to 0.9.
    """

    knots: Floats
    tail: float
    scale: float
    shape: float

    @classmethod
    def fit(cls, scores: Floats) -> TailRank:
        """Fits on the scores (n,) of the RANK split, n at least 1."""
        ordered = np.sort(np.nan_to_num(scores.astype(np.float64)))
        n = len(ordered)
        tail = min(0.5, max(0.1, SHORTEST_TAIL / n))
        grid = np.linspace(0, 1 - tail, KNOTS)
        knots = np.quantile(ordered, grid)
        excess = np.maximum(ordered - knots[-1], 0)
        excess = excess[n - max(1, round(n * tail)) :]
        smallest = 1e-3 * max(float(np.abs(ordered).mean()), float(ordered.std()), 1e-6)
        scale, shape = _pareto(excess)
        return cls(knots, tail, max(scale, smallest), shape)

    def __call__(self, scores: Floats) -> Floats:
        """Ranks of scores (n,), float64 (n,), from 0 up; -log(0.01) is "one row in 100"."""
        wide = np.nan_to_num(scores.astype(np.float64), nan=0.0, posinf=1e300, neginf=-1e300)
        right = np.clip(np.searchsorted(self.knots, wide, side="right"), 1, KNOTS - 1)
        low, high = self.knots[right - 1], self.knots[right]
        with np.errstate(over="ignore"):  # too far to tell is as good as far
            excess = np.maximum(wide - self.knots[-1], 0) / self.scale
            step = np.clip((wide - low) / np.maximum(high - low, 1e-300), 0, 1)
        beyond = np.log1p(self.shape * excess) / self.shape if self.shape > 0 else excess
        share = (right - 1 + step) / (KNOTS - 1) * (1 - self.tail)
        inside = -np.log1p(-share)
        return np.where(wide > self.knots[-1], -log(self.tail) + beyond, inside)


def _pareto(excess: Floats) -> tuple[float, float]:
    """Scale and shape from excesses in ascending order, by probability-weighted moments."""
    n = len(excess)
    mean = float(excess.mean())
    if n < SHORTEST_TAIL or mean <= 0:
        return mean, 0.0
    weight = 1 - (np.arange(1, n + 1) - 0.35) / n
    first = float((weight * excess).mean())
    if mean - 2 * first <= 0:
        return mean, 0.0
    shape = 2 - mean / (mean - 2 * first)
    if shape <= 0:
        return mean, 0.0
    shape = min(shape, 0.9)
    return mean * (1 - shape), shape
