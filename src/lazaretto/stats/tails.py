"""Upper tails of two tests' statistics, as SciPy has them, which takes 0.7 s to load."""

from __future__ import annotations

from math import erfc, exp, fsum, lgamma, log, sqrt

TERMS = 20
"""Of Kolmogorov's series; those left out are below 1e-300 where the series is used."""


def chi_squared_tail(statistic: float, freedom: int) -> float:
    """P(X >= statistic) for chi-squared: a finite sum of positive terms, so exact to rounding.

    Args:
        statistic: at least 0.
        freedom: degrees of freedom, at least 1.
    """
    half = statistic / 2
    if half <= 0:
        return 1.0
    # Poisson's probabilities of 0, 1, ... (even), or of 1/2, 3/2, ... after those of erfc (odd).
    start = 0.5 if freedom % 2 else 0.0
    terms = (
        exp((start + k) * log(half) - half - lgamma(start + k + 1)) for k in range(freedom // 2)
    )
    return min(1.0, fsum(terms) + (erfc(sqrt(half)) if freedom % 2 else 0.0))


def kolmogorov_tail(distance: float, n: int) -> float:
    """P(D >= distance) for the two-sided distance of an empirical distribution of n values.

    Kolmogorov's limit at a distance corrected for n (Vrbik, 2018, "Small-sample corrections to
    Kolmogorov-Smirnov test statistic"). From n = 10 on it is at most 0.0025 above the exact value,
    from n = 100 on 0.0002. In the far tail of a small n it is many times the exact value: there the
    test is the more cautious.

    Args:
        distance: 0 to 1.
        n: at least 1; for two samples ``n1 * n2 / (n1 + n2)``.
    """
    plain = distance * sqrt(n)
    reach = plain + 1 / (6 * sqrt(n)) + (plain - 1) / (4 * n)
    if distance <= 0 or reach <= 0:
        return 1.0
    if reach < 1:
        # Jacobi's form of the same series, which converges where the other does not.
        terms = (exp(-((2 * k - 1) ** 2) * 1.2337005501361697 / reach**2) for k in range(1, TERMS))
        return min(1.0, max(0.0, 1 - 2.5066282746310002 / reach * fsum(terms)))
    signs = (2 * (-1) ** (k - 1) * exp(-2 * (k * reach) ** 2) for k in range(1, TERMS))
    return min(1.0, max(0.0, fsum(signs)))
