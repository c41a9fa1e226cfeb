"""From scores to decisions with a stated error rate: conformal p-values, Benjamini-Hochberg."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, lgamma, sqrt
from typing import TYPE_CHECKING, Literal

import numpy as np

from lazaretto.stats.counts import beta_binomial, beta_binomial_moments, binomial
from lazaretto.stats.multiple import adjusted_p_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Mask = npt.NDArray[np.bool_]


_ROUNDING = 1e-9
LOCAL_FROM = 100
"""From so many records on, classes and neighbourhoods of a batch are looked at by themselves."""
HOCHBERG_SHARE = 0.4
"""Share of the rate that Benjamini-Hochberg has then; the rest is theirs."""


def hochberg_rate(rate: float, records: int) -> float:
    """The rate at which Benjamini-Hochberg tests the records of a batch.

    Args:
        rate: the stated false quarantine rate.
        records: of the batch that have a p-value.
    """
    return rate if records < LOCAL_FROM else rate * HOCHBERG_SHARE


def conformal_p_values(
    scores: Sequence[npt.NDArray[np.floating]], calibration: Sequence[npt.NDArray[np.floating]]
) -> Floats:
    """Conformal p-values, split or crossed.

    With one scorer this is the split-conformal ``(1 + #{calibration >= score}) / (n + 1)`` (Vovk et
    al., 2005): for a record exchangeable with the calibration rows, P(p <= t) <= t for every t.

    With K scorers, each fitted without its own fold, the counts over the folds are added (Vovk,
    2015, "Cross-conformal predictors"). The result is within K/n of the mean of the folds'
    p-values, so P(p <= t) <= 2t + 2K/n at worst (mean of p-values: Vovk and Wang, 2020; Barber et
    al., 2021, have a like bound for CV+), and about t where the folds' scorers agree.

    Args:
        scores: per scorer, floats (m,), higher = more anomalous.
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
    # Conformal p-values are fractions, often right at the rate: rounding must not decide.
    return adjusted_p_values(p_values) <= rate * (1 + _ROUNDING)


def conditional_p_values(p_values: Floats, calibration_rows: int, delta: float) -> Floats:
    """Turns marginal conformal p-values into ones that hold for this very calibration.

    The Simes adjustment of Bates et al. (2023), section 3.3 with kappa = n/2: with probability at
    least ``1 - delta`` over the calibration rows, P(p <= t) <= t for every t at once. The price is
    a larger smallest p-value, ``1 - delta ** (2 / n)``.

    Args:
        p_values: split-conformal (one scorer), float64 (m,).
        calibration_rows: n, at least 2.
        delta: chance that the promise fails for this calibration.
    """
    n = calibration_rows
    kappa = max(1, n // 2)
    # The number of calibration scores below the record's, from 1.
    below = np.floor((n + 1) * (1 - p_values) + 1e-9).clip(1, n)
    fits = below >= kappa
    steps = np.where(fits, below, kappa)
    # Most records share a number of steps with others.
    known, place = np.unique(steps, return_inverse=True)
    product = np.array([lgamma(s + 1) - lgamma(s - kappa + 1) for s in known.tolist()])[place]
    whole = lgamma(n + 1) - lgamma(n - kappa + 1)
    bound = np.where(fits, np.exp((np.log(delta) + product - whole) / kappa), 0.0)
    return np.asarray(1 - bound, dtype=np.float64)


REACH = 15.0
"""Standard deviations about the mean that `Counts` holds."""


@dataclass(frozen=True, slots=True)
class Counts:
    """A distribution of counts, as far as it has mass.

    Attributes:
        low: smallest count held.
        mass: float64, probability of `low`, ``low + 1`` and so on.
        mean: of the distribution.
    """

    low: int
    mass: Floats
    mean: float

    def at_least(self, count: int) -> float:
        """P(X >= count)."""
        return float(min(1.0, self.mass[max(0, count - self.low) :].sum()))

    def rare(self, alpha: float) -> int:
        """The smallest count whose P(X >= count) is at most alpha."""
        above = self.mass[::-1].cumsum()[::-1]
        return self.low + int((above > alpha).sum())


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the p-values of a batch were read from, for tests of their number.

    Attributes:
        rows: calibration rows of each group: one group, or one per class.
        group: int64 (m,), group of each record.
        delta: of `conditional_p_values`; None for marginal p-values.
    """

    rows: tuple[int, ...]
    group: npt.NDArray[np.int64]
    delta: float | None = None

    def keep(self, mask: Mask) -> Calibration:
        """The same for some of the records."""
        return Calibration(self.rows, self.group[mask], self.delta)

    def count_null(self, group: int, records: int, level: float) -> Counts | None:
        """Distribution of the number of p-values up to a level among clean records of a group.

        They share one calibration, so it is not binomial but, with ``a = floor(level * (n + 1))``,
        BetaBinomial(m, a, n + 1 - a): exact over calibrations where there are no ties. Conditional
        p-values are at most binomial. None where no p-value can be that small.
        """
        n = self.rows[group]
        a = int(level * (n + 1) + 1e-9)
        if (self.smallest_p(group) > level) if self.delta is not None else not a:
            return None
        if self.delta is not None:
            mean, spread = records * level, sqrt(records * level * (1 - level))
        else:
            mean, spread = beta_binomial_moments(records, a, n + 1 - a)
        # Over a million records most counts have no chance at all.
        low = max(0, int(mean - REACH * spread))
        high = min(records, ceil(mean + REACH * spread) + 50)
        if self.delta is not None:
            return Counts(low, binomial(records, level, low, high), mean)
        return Counts(low, beta_binomial(records, a, n + 1 - a, low, high), mean)

    def smallest_p(self, group: int) -> float:
        """The smallest p-value that a record of the group can get."""
        n = self.rows[group]
        if self.delta is None:
            return 1 / (n + 1)
        return float(1 - self.delta ** (1 / max(1, n // 2)))


def suspects(
    p_values: Floats,
    calibration: Calibration,
    *,
    rate: float,
    alpha: float,
    rule: Literal["evidence", "rate"] = "evidence",
) -> Mask:
    """Which records of a batch to hold.

    By ``evidence``: those that Benjamini-Hochberg rejects at `hochberg_rate`. And, where the batch
    has more p-values up to a level of `levels` than calibration explains (`excess_of_small_p`,
    Bonferroni over the levels at `alpha`), those up to the largest such level: with few calibration
    rows the smallest p-value is too coarse for Benjamini-Hochberg to act on a small share of
    poison, however extreme it is. In a clean batch the chance that any is held is at most
    ``hochberg_rate + alpha``.

    By ``rate``: all with ``p <= rate``. That pays the whole price in every batch, and holds extreme
    records however few they are.

    Either way only records with ``p <= rate`` are held, so on average at most that share of the
    clean ones.

    Args:
        p_values: conformal, float64 (m,).
        calibration: where they come from.
        rate: the stated false quarantine rate.
        alpha: level of the batch test.
        rule: how much it takes to hold a record.
    """
    if rule == "rate":
        return np.asarray(p_values <= rate, dtype=bool)
    held = benjamini_hochberg(p_values, hochberg_rate(rate, len(p_values)))
    tried = levels(rate, calibration)
    for level in tried:
        if excess_of_small_p(p_values, calibration, level=level).p_value <= alpha / len(tried):
            return held | (p_values <= level)
    return held


def levels(rate: float, calibration: Calibration) -> list[float]:
    """What `suspects` calls small, largest first: the rate, halved up to seven times.

    A few extreme records among many stand out at a small level, many mild ones at a large level.
    Levels that no p-value can reach are left out: trying them would only cost power.
    """
    smallest = min(map(calibration.smallest_p, range(len(calibration.rows))), default=1.0)
    return [rate / 2**step for step in range(8) if rate / 2**step >= smallest]


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


def excess_of_small_p(p_values: Floats, calibration: Calibration, *, level: float = 0.05) -> Excess:
    """Tests whether a batch has too many small conformal p-values.

    The groups' counts are added as independent ones.

    Args:
        p_values: float64 (m,).
        calibration: of these records.
        level: what counts as small.
    """
    count, total = 0, Counts(0, np.ones(1), 0.0)
    for group in np.unique(calibration.group).tolist():
        inside = calibration.group == group
        null = calibration.count_null(group, int(inside.sum()), level)
        if null is None:
            continue
        count += int((p_values[inside] <= level + 1e-12).sum())
        total = Counts(
            total.low + null.low, np.convolve(total.mass, null.mass), total.mean + null.mean
        )
    return Excess(total.at_least(count), count, total.mean)
