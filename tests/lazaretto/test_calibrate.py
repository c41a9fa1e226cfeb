from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom

from lazaretto.stats.conformal import (
    Calibration,
    benjamini_hochberg,
    conditional_p_values,
    conformal_p_values,
    excess_of_small_p,
    levels,
    suspects,
)
from lazaretto.stats.multiple import holm
from lazaretto.stats.sizes import min_detectable


def pooled(records: int, rows: int, delta: float | None = None) -> Calibration:
    return Calibration((rows,), np.zeros(records, dtype=np.int64), delta)


def test_conformal_p_values_count_calibration_rows_at_least_as_extreme() -> None:
    p = conformal_p_values([np.array([5.0, 3.0, 0.0])], [np.array([1.0, 2.0, 3.0, 4.0])])
    assert p.tolist() == [1 / 5, 3 / 5, 1.0]


def test_crossed_p_values_add_the_folds_counts() -> None:
    scores = [np.array([2.5]), np.array([0.5])]
    p = conformal_p_values(scores, [np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0])])
    assert p.tolist() == [(1 + 1 + 1) / 6]


def test_split_conformal_p_values_are_uniform_on_clean_records() -> None:
    rng = np.random.default_rng(0)
    level, hits = 0.05, []
    for _ in range(400):
        p = conformal_p_values([rng.normal(size=50)], [rng.normal(size=199)])
        hits.append((p <= level).mean())
    assert np.mean(hits) == pytest.approx(level, abs=0.006)


@given(
    st.integers(1, 400).flatmap(
        lambda rows: st.lists(st.integers(1, rows + 1).map(lambda a: Fraction(a, rows + 1)))
    ),
    st.integers(1, 500).map(lambda permille: Fraction(permille, 1000)),
)
def test_benjamini_hochberg_rejects_what_exact_fractions_say(
    values: list[Fraction], rate: Fraction
) -> None:
    """Conformal p-values meet the line ``rate * k / m`` exactly, where rounding could decide."""
    ordered, m = sorted(values), len(values)
    passing = [p for k, p in enumerate(ordered, start=1) if p <= rate * k / m]
    exact = [bool(passing) and p <= passing[-1] for p in values]
    held = benjamini_hochberg(np.array([float(p) for p in values]), float(rate))
    assert held.tolist() == exact


def test_excess_counts_follow_the_beta_binomial_over_calibrations() -> None:
    rng = np.random.default_rng(1)
    n, m, level = 99, 40, 0.1
    counts = []
    for _ in range(3000):
        p = conformal_p_values([rng.normal(size=m)], [rng.normal(size=n)])
        counts.append(excess_of_small_p(p, pooled(m, n), level=level).count)
    null = betabinom(m, 10, 90)
    assert np.mean(counts) == pytest.approx(null.mean(), rel=0.05)
    assert np.var(counts) == pytest.approx(null.var(), rel=0.1)


def test_nothing_with_a_p_value_above_the_rate_is_ever_held() -> None:
    rng = np.random.default_rng(2)
    p = np.concatenate([np.full(30, 1 / 500), rng.uniform(size=100)])
    held = suspects(p, pooled(130, 499), rate=0.02, alpha=0.001)
    assert held[:30].all()
    assert (p[held] <= 0.02).all()


@pytest.mark.parametrize(
    ("records", "calibration_rows"), [(100, 700), (2000, 700), (90, 720), (50, 40)]
)
def test_min_detectable_is_the_exact_edge_of_what_is_held(
    records: int, calibration_rows: int
) -> None:
    known = pooled(records, calibration_rows)
    edge = min_detectable(known, rate=0.02, alpha=0.001)

    def held(poisons: int) -> int:
        p = np.ones(records)
        p[:poisons] = 1 / (calibration_rows + 1)
        return int(suspects(p, known, rate=0.02, alpha=0.001).sum())

    if edge > records:
        assert held(records) == 0
    else:
        assert held(edge) == edge
        assert held(edge - 1) == 0


def test_conditional_p_values_keep_the_promise_for_nine_calibrations_in_ten() -> None:
    """For each calibration, the true share of clean records with p <= t is known exactly."""
    rng = np.random.default_rng(3)
    n, broken = 400, 0
    clean = (np.arange(20_000) + 0.5) / 20_000
    for _ in range(200):
        p = conformal_p_values([clean], [rng.uniform(size=n)])
        adjusted = conditional_p_values(p, n, 0.1)
        levels = np.array([0.02, 0.05, 0.1, 0.2, 0.4])
        broken += any((adjusted <= level).mean() > level for level in levels)
    assert broken <= 30
    marginal = conformal_p_values([np.array([2.0])], [rng.uniform(size=n)])
    floor = conditional_p_values(marginal, n, 0.1)
    assert float(floor[0]) == pytest.approx(1 - 0.1 ** (2 / n), rel=1e-6)


@pytest.mark.parametrize(
    ("rows", "delta", "ranks", "expected"),
    [
        (
            99,
            0.1,
            [1, 2, 5, 24, 49, 99],
            [0.0459045237, 0.0591130497, 0.0987846284, 0.352476727, 0.713451804, 1.0],
        ),
        (
            400,
            0.05,
            [1, 2, 5, 100, 200, 400],
            [0.0148670392, 0.0182753404, 0.0285031648, 0.355982832, 0.742991406, 1.0],
        ),
        (
            1001,
            0.5,
            [1, 2, 5, 250, 500, 1001],
            [0.0013853339, 0.00276675717, 0.00691149484, 0.349172073, 0.742882216, 1.0],
        ),
    ],
)
def test_conditional_p_values_are_those_of_nonconform(
    rows: int, delta: float, ranks: list[int], expected: list[float]
) -> None:
    """Values of nonconform 2.0.0 (``simes``), which needs Python 3.12, recorded from there.

    It was given p-values 1e-9 smaller: it cuts ``(n + 1) * (1 - p)`` without room for rounding, and
    loses a rank where the product should be whole.
    """
    p_values = np.array(ranks) / (rows + 1)
    assert conditional_p_values(p_values, rows, delta) == pytest.approx(expected, rel=1e-7)


def test_groups_of_different_size_give_the_exact_excess() -> None:
    rng = np.random.default_rng(4)
    group = np.repeat([0, 1], [30, 50])
    known = Calibration((99, 39), group)
    p_values = []
    for _ in range(1500):
        p = np.concatenate(
            [
                conformal_p_values([rng.normal(size=30)], [rng.normal(size=99)]),
                conformal_p_values([rng.normal(size=50)], [rng.normal(size=39)]),
            ]
        )
        p_values.append(excess_of_small_p(p, known, level=0.1).p_value)
    shares = [(np.array(p_values) <= level).mean() for level in (0.05, 0.2)]
    assert shares[0] <= 0.06
    assert shares[1] <= 0.22


def test_holm_is_the_textbook_procedure() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_by_rate_exactly_the_records_up_to_the_rate_are_held() -> None:
    p = np.array([1 / 500, 0.02, 0.0201, 1.0])
    held = suspects(p, pooled(4, 499), rate=0.02, alpha=0.001, rule="rate")
    assert held.tolist() == [True, True, False, False]
    assert min_detectable(pooled(4, 499), rate=0.02, alpha=0.001, rule="rate") == 1
    assert min_detectable(pooled(4, 40), rate=0.02, alpha=0.001, rule="rate") == 5


@pytest.mark.parametrize("delta", [None, 0.1])
def test_levels_are_those_that_a_p_value_can_reach(delta: float | None) -> None:
    known = pooled(10, 1499, delta)
    tried = levels(0.01, known)
    assert tried[0] == 0.01
    assert tried[-1] >= known.smallest_p(0) > tried[-1] / 2
    assert levels(0.01, pooled(10, 40, delta)) == []


def test_a_clean_batch_rarely_loses_anything() -> None:
    """By evidence: over calibrations, the chance is at most the rate and a little."""
    rng = np.random.default_rng(6)
    hit = []
    for _ in range(1500):
        p = conformal_p_values([rng.normal(size=300)], [rng.normal(size=499)])
        hit.append(suspects(p, pooled(300, 499), rate=0.02, alpha=0.01).any())
    assert np.mean(hit) <= 0.03 + 3 * (0.03 / 1500) ** 0.5


def test_a_larger_rate_never_holds_less() -> None:
    """A handful of extreme records must not drown in the number that a larger rate expects."""
    rng = np.random.default_rng(5)
    p = np.concatenate([np.full(60, 1 / 2500), rng.uniform(size=2400)])
    known = pooled(len(p), 2499)
    counts = [
        int(suspects(p, known, rate=rate, alpha=0.001)[:60].sum()) for rate in (0.01, 0.05, 0.1)
    ]
    assert counts == [60, 60, 60]
