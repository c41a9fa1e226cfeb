from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom, false_discovery_control

from lazaretto.calibrate import (
    benjamini_hochberg,
    conformal_p_values,
    excess_of_small_p,
    smallest_visible,
    suspects,
)


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
    st.lists(st.floats(1e-6, 1), min_size=1, max_size=60),
    st.floats(0.001, 0.5),
)
def test_benjamini_hochberg_agrees_with_scipy(values: list[float], rate: float) -> None:
    p = np.array(values)
    adjusted = false_discovery_control(p, method="bh")
    clear = np.abs(adjusted - rate) > 1e-9
    assert (benjamini_hochberg(p, rate) == (adjusted <= rate))[clear].all()


def test_excess_counts_follow_the_beta_binomial_over_calibrations() -> None:
    rng = np.random.default_rng(1)
    n, m, level = 99, 40, 0.1
    counts = []
    for _ in range(3000):
        p = conformal_p_values([rng.normal(size=m)], [rng.normal(size=n)])
        counts.append(excess_of_small_p(p, n, level=level).count)
    null = betabinom(m, 10, 90)
    assert np.mean(counts) == pytest.approx(null.mean(), rel=0.05)
    assert np.var(counts) == pytest.approx(null.var(), rel=0.1)


def test_nothing_with_a_p_value_above_the_rate_is_ever_held() -> None:
    rng = np.random.default_rng(2)
    p = np.concatenate([np.full(30, 1 / 500), rng.uniform(size=100)])
    held = suspects(p, 499, rate=0.02, alpha=0.001)
    assert held[:30].all()
    assert (p[held] <= 0.02).all()


@pytest.mark.parametrize(
    ("records", "calibration_rows"), [(100, 700), (2000, 700), (90, 720), (50, 40)]
)
def test_smallest_visible_is_the_exact_edge_of_what_is_held(
    records: int, calibration_rows: int
) -> None:
    edge = smallest_visible(records, calibration_rows, rate=0.02, alpha=0.001)

    def held(poisons: int) -> int:
        p = np.ones(records)
        p[:poisons] = 1 / (calibration_rows + 1)
        return int(suspects(p, calibration_rows, rate=0.02, alpha=0.001).sum())

    if edge > records:
        assert held(records) == 0
    else:
        assert held(edge) == edge
        assert held(edge - 1) == 0
