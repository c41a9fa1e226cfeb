"""From scores to decisions with a stated price: conformal p-values, Benjamini-Hochberg, power."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Mask = npt.NDArray[np.bool_]


def conformal_p_values(scores: Sequence[Floats], calibration: Sequence[Floats]) -> Floats:
    """Conformal p-values, split or crossed.

    With one scorer this is the split-conformal ``(1 + #{calibration >= score}) / (n + 1)`` (Vovk et
    al., 2005): for a record exchangeable with the calibration rows, P(p <= t) <= t for every t.

    With K scorers, each fitted without its own fold, the counts over the folds are added (Vovk,
    2015, "Cross-conformal predictors"). The result is within K/n of the mean of the folds'
    p-values, so P(p <= t) <= 2t + 2K/n at worst (mean of p-values: Vovk and Wang, 2020; Barber et
    al., 2021, have a like bound for CV+), and about t where the folds' scorers agree.

    Args:
        scores: per scorer, float64 (m,), higher = more anomalous.
        calibration: per scorer, the scores of its own calibration rows.

    Returns:
        float64 (m,), in (0, 1].
    """
    total = sum(len(fold) for fold in calibration)
    above = np.zeros(len(scores[0]), dtype=np.int64)
    for score, fold in zip(scores, calibration, strict=True):
        above += len(fold) - np.searchsorted(np.sort(fold), score, side="left")
    return np.asarray((1 + above) / (total + 1), dtype=np.float64)


def benjamini_hochberg(p_values: Floats, rate: float) -> Mask:
    """Which hypotheses to reject at a false discovery rate (Benjamini and Hochberg, 1995).

    On split-conformal p-values, which are positively dependent, the rate holds (Bates et al., 2023,
    theorem 2). When every record is clean it is also the chance that anything at all is held.

    Args:
        p_values: float64 (m,), no NaN.
        rate: between 0 and 1.
    """
    m = len(p_values)
    if m == 0:
        return np.zeros(0, dtype=bool)
    ordered = np.sort(p_values)
    passing = np.flatnonzero(ordered <= rate * np.arange(1, m + 1) / m)
    if not len(passing):
        return np.zeros(m, dtype=bool)
    held: Mask = p_values <= ordered[passing[-1]]
    return held


def suspects(p_values: Floats, calibration_rows: int, *, rate: float, alpha: float) -> Mask:
    """Which records of a batch to hold.

    Those that Benjamini-Hochberg rejects at `rate`. And, where the batch has more p-values up to
    `rate` than calibration explains (`excess_of_small_p` at level `rate` fires at `alpha`), all of
    those: with few calibration rows the smallest p-value is too coarse for Benjamini-Hochberg to
    act on a small share of poison, however extreme it is.

    Either way only records with ``p <= rate`` are held, so on average at most that share of the
    clean ones; and in a clean batch the chance that any is held is at most ``rate + alpha``.

    Args:
        p_values: conformal, float64 (m,).
        calibration_rows: n.
        rate: the stated false quarantine rate.
        alpha: level of the batch test.
    """
    held = benjamini_hochberg(p_values, rate)
    if excess_of_small_p(p_values, calibration_rows, level=rate).p_value <= alpha:
        held |= p_values <= rate
    return held


def smallest_visible(records: int, calibration_rows: int, *, rate: float, alpha: float) -> int:
    """The smallest number of most extreme records that `suspects` can hold in a batch.

    Fewer pass, whatever they look like. More than `records` means: nothing can ever be held.

    Args:
        records: m, of the batch.
        calibration_rows: n; the smallest p-value is ``1 / (n + 1)``.
        rate: the stated false quarantine rate.
        alpha: level of the batch test.
    """
    from scipy.stats import betabinom

    by_rate = max(1, ceil(round(records / (rate * (calibration_rows + 1)), 9)))
    a = int(rate * (calibration_rows + 1) + 1e-9)
    if a == 0:
        return by_rate
    by_excess = int(betabinom(records, a, calibration_rows + 1 - a).isf(alpha)) + 1
    return min(by_rate, by_excess)


@dataclass(frozen=True, slots=True)
class Excess:
    """More small p-values than calibration explains.

    Attributes:
        p_value: of the count, over clean batches and calibrations alike.
        count: records at or below the level.
        expected: their mean number in a clean batch.
    """

    p_value: float
    count: int
    expected: float


def excess_of_small_p(p_values: Floats, calibration_rows: int, *, level: float = 0.05) -> Excess:
    """Tests whether a batch has too many small conformal p-values.

    The records share one calibration, so their number below a level is not binomial but
    beta-binomial: with ``a = floor(level * (n + 1))``, the count is BetaBinomial(m, a, n + 1 - a)
    for clean records without ties (Marques, 2025; the marginal over calibrations is exact).

    Args:
        p_values: float64 (m,).
        calibration_rows: n.
        level: what counts as small.
    """
    from scipy.stats import betabinom

    m = len(p_values)
    a = int(level * (calibration_rows + 1) + 1e-9)
    if m == 0 or a == 0:
        return Excess(1.0, 0, 0.0)
    count = int((p_values <= a / (calibration_rows + 1) + 1e-12).sum())
    null = betabinom(m, a, calibration_rows + 1 - a)
    return Excess(float(min(1.0, null.sf(count - 1))), count, float(null.mean()))
