"""Statistics of the decision: the class test against its null, and how surprising rows are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


FOLD_CORRELATION = 2.25
"""Variance of a cross-fitted mean over that of independent scores, with five folds: 1 + K / (K - 1)
(Nadeau and Bengio 2003). On exchangeable Gaussian classes the class test then keeps its level with
two folds and five; without it, 6 % of clean classes fire at 1 %."""


TAILS = (1e-2, 3e-3, 1e-3, 3e-4)
"""Shares of trusted rows beyond the thresholds of the tail test."""

PRIORS = (1.0, 0.1, 0.03, 0.01)
"""What other classes' trusted rows may weigh in a class's tail rate, in exceedances. That weight
counts which makes the class least remarkable: a class whose tail is heavier than the others' by
nature contradicts them by its own trusted rows, if by few."""


@dataclass(frozen=True, slots=True)
class TailTest:
    """Outcome of `tail_test`, one entry per class.

    Attributes:
        p_value: float64, over all thresholds.
        level: float64, share of all trusted rows beyond the threshold that tells most.
        seen: float64, training rows of the class beyond it.
        expected: float64, how many its trusted rows and the other classes lead one to expect.
    """

    p_value: NDArray[np.float64]
    level: NDArray[np.float64]
    seen: NDArray[np.float64]
    expected: NDArray[np.float64]


def dispersion(
    scores: NDArray[np.floating], groups: list[NDArray[np.int64]]
) -> NDArray[np.float64]:
    """Squared coefficient of variation of the trusted scores of each class, float64 (classes,).

    A class's own estimate is trusted only where it exceeds the pooled one: few rows see too little
    of their own tail.

    Args:
        scores: (m,).
        groups: positions of each class's rows.
    """
    own = np.full(len(groups), np.nan)
    for c, members in enumerate(groups):
        s = scores[members].astype(np.float64)
        if len(s) > 1 and s.mean() > 0:
            own[c] = s.var(ddof=1) / s.mean() ** 2
    known = own[np.isfinite(own)]
    pooled = float(known.mean()) if len(known) else 2.0
    floored: NDArray[np.float64] = np.fmax(own, max(pooled, 1e-6))
    return floored


def class_test(
    train: NDArray[np.floating], trusted: NDArray[np.floating], dispersion: float, alpha: float
) -> tuple[float, float, float]:
    """Tests whether a class's mean score exceeds that of its trusted rows.

    For the whitened spectral score this asks whether the class's whitened spectrum is outside its
    null, in directions that were chosen on other rows. Both means are taken as Gamma variables
    with the given dispersion (Satterthwaite 1946; for Gaussian projections, dispersion 2, this is
    the F test of two variances), so the p-value resolves far below one over the number of trusted
    rows. Cross-fitted scores are not independent; `FOLD_CORRELATION` widens the null for it.

    Args:
        train: (n,) scores of the class.
        trusted: (m,) scores of its trusted rows.
        dispersion: squared coefficient of variation of a single score.
        alpha: level at which the critical ratio is stated.

    Returns:
        ratio of the means, p-value, and the ratio at which the p-value is `alpha`.
    """
    from scipy.stats import f

    n, m = len(train), len(trusted)
    reference = float(np.mean(trusted, dtype=np.float64))
    ratio = float(np.mean(train, dtype=np.float64)) / reference if reference > 0 else 1.0
    spread = FOLD_CORRELATION * max(dispersion, 1e-9)
    degrees = 2 * n / spread, 2 * m / spread
    return ratio, float(f.sf(ratio, *degrees)), float(f.isf(alpha, *degrees))


def tail_test(
    train: NDArray[np.floating],
    trusted: NDArray[np.floating],
    groups: list[NDArray[np.int64]],
    trusted_groups: list[NDArray[np.int64]],
) -> TailTest:
    """Tests whether more rows of a class lie far out than its trusted rows lead one to expect.

    A handful of poisons hardly moves a mean that heavy tails blur, but counts beyond a far
    threshold do not care how heavy the tails are. Thresholds are far quantiles of all trusted
    scores; a class's rate beyond one has a Gamma prior at the other classes' rate, worth one
    exceedance or less (`PRIORS`) and still less where classes differ, updated by its own trusted
    rows; the count of training rows is then beta-binomial. The largest p-value over the priors
    counts, and Bonferroni over thresholds. Training rows that are memorised lie closer in than
    trusted rows do: the error is on the safe side, for how much differs between classes.

    Args:
        train: (n,) scores, comparable over classes.
        trusted: (m,) scores.
        groups: positions of each class's training rows.
        trusted_groups: positions of each class's trusted rows.

    Returns:
        p-values, 1 where nothing can be said, and the counts behind them.
    """
    from scipy.stats import nbinom

    known = trusted[np.isfinite(trusted)]
    best = np.ones(len(groups))
    told = TailTest(best, np.zeros(len(groups)), np.zeros(len(groups)), np.zeros(len(groups)))
    if not len(known):
        return told
    levels = [level for level in TAILS if level * len(known) >= 1] or [TAILS[0]]
    sizes = np.array([len(g) for g in groups], np.float64)
    rows = np.array([len(g) for g in trusted_groups], np.float64)
    for level in levels:
        cut = np.quantile(known, 1 - level)
        far = np.array([float((trusted[g] > cut).sum()) for g in trusted_groups])
        seen = np.array([float((train[g] > cut).sum()) for g in groups])
        m, t = rows.sum() - rows, far.sum() - far
        rate = np.where(m > 0, (t + 0.5) / (m + 1), level)
        weight = _homogeneity(far, rows, rate)
        posteriors = [
            (shape + far, shape / rate + rows)
            for shape in (np.minimum(prior, weight) for prior in PRIORS)
        ]
        tails = [nbinom.sf(seen - 1, a, b / (b + sizes)) for a, b in posteriors]
        p = np.max(tails, axis=0)
        expected = sizes * posteriors[0][0] / posteriors[0][1]
        better = len(levels) * p < told.p_value
        for field, value in (
            (told.p_value, len(levels) * p),
            (told.level, np.full(len(p), level)),
            (told.seen, seen),
            (told.expected, expected),
        ):
            field[better] = value[better]
    return told


def _homogeneity(
    far: NDArray[np.float64], rows: NDArray[np.float64], rate: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Prior weight, in exceedances, that the spread of the other classes' rates allows."""
    weight = np.full(len(far), PRIORS[0])
    for c in range(len(far)):
        others = (np.arange(len(far)) != c) & (rows > 0)
        if others.sum() > 1:
            shares = far[others] / rows[others]
            noise = np.mean(rate[c] * (1 - rate[c]) / rows[others])
            spread = max(0.0, shares.var(ddof=1) - noise)
            weight[c] = min(PRIORS[0], rate[c] ** 2 / max(spread, 1e-300))
    return weight


def surprise(
    scores: NDArray[np.floating], trusted: NDArray[np.floating], dispersion: float
) -> NDArray[np.float64]:
    """How surprising rows are among trusted rows: ``-log p``, comparable between methods.

    p is the rank among trusted rows; beyond all of them it goes on along the Gamma tail of
    `class_test` for a single row, so that far rows stay in order. For a trusted row, its rank
    includes itself.

    Returns:
        float64 (n,), non-negative and non-decreasing in the score.
    """
    from scipy.stats import f

    m = len(trusted)
    above = m - np.searchsorted(np.sort(trusted), scores, side="left")
    floor = 1.0 / (m + 1)
    p = np.maximum(above, 1) / (m + 1)
    reference = max(float(np.mean(trusted, dtype=np.float64)), 1e-300)
    ratio = np.asarray(scores, np.float64) / reference
    tail = f.logsf(ratio, 2 / dispersion, 2 * m / dispersion)
    # Beyond the smallest double only the order is kept.
    tail = np.where(np.isneginf(tail), -745 - np.log(np.maximum(ratio, 1)), tail)
    return np.where(p <= floor, np.maximum(-np.log(floor), -tail), -np.log(p))


def combine(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """One p-value of several tests of the same class, however they depend on one another.

    Cauchy combination (Liu and Xie 2020): as sharp as Bonferroni where one test speaks, and sharper
    where several do.

    Args:
        p_values: (tests, classes), in 0..1.

    Returns:
        float64 (classes,).
    """
    p = np.clip(p_values, 1e-15, 0.9)  # A test that says nothing must not outvote the others.
    mean = np.tan((0.5 - p) * np.pi).mean(0)
    # arctan loses its digits where the answer is 1 / (pi mean) to all of them.
    far = 1 / (np.pi * np.maximum(mean, 1))
    combined: NDArray[np.float64] = np.where(mean > 1e6, far, 0.5 - np.arctan(mean) / np.pi)
    return combined
