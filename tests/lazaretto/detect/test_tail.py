from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazaretto.detect.tail import TailRank


def test_ranks_are_minus_log_survival_for_an_exponential() -> None:
    scores = np.random.default_rng(0).exponential(size=20_000)
    ranked = TailRank.fit(scores)(np.array([0.5, 1.0, 3.0, 7.0]))
    np.testing.assert_allclose(ranked, [0.5, 1.0, 3.0, 7.0], rtol=0.08, atol=0.02)


def test_heavy_tails_are_told_from_light_ones() -> None:
    rng = np.random.default_rng(1)
    light = TailRank.fit(rng.exponential(size=5000))
    heavy = TailRank.fit(rng.pareto(2.0, size=5000))
    assert light.shape < 0.15
    assert heavy.shape == pytest.approx(0.5, abs=0.15)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=80),
    st.lists(st.floats(-1e7, 1e7), min_size=2, max_size=20, unique=True),
)
def test_a_higher_score_never_ranks_lower(fitted: list[float], probes: list[float]) -> None:
    ranks = TailRank.fit(np.array(fitted))(np.array(sorted(probes)))
    assert np.isfinite(ranks).all()
    assert (np.diff(ranks) >= -1e-9).all()
    assert (ranks >= 0).all()


def test_scores_beyond_the_last_reference_row_keep_their_order() -> None:
    ranks = TailRank.fit(np.arange(50.0))(np.array([60.0, 70.0, 1e6, 1e12]))
    assert (np.diff(ranks) > 0).all()


def test_a_constant_detector_gives_every_row_the_same_low_rank() -> None:
    map_ = TailRank.fit(np.zeros(100))
    ranks = map_(np.array([0.0, 0.0, 1.0]))
    assert ranks[0] == ranks[1]
    assert ranks[2] > 10
