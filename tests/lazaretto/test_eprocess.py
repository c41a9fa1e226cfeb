from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from lazaretto.calibrate import holm
from lazaretto.eprocess import EProcess, batch_p_value, fold


def test_a_clean_source_hardly_ever_raises_however_often_one_looks() -> None:
    rng = np.random.default_rng(0)
    raised = 0
    for _ in range(300):
        process = EProcess()
        for p in rng.uniform(size=60):
            process = process.update(float(p))
            if process.raises(0.05):
                raised += 1
                break
    assert raised / 300 <= 0.05


def test_a_clean_batch_leaves_its_mean_where_it_was() -> None:
    """Integrated with ``p = u ** 20``, which tames the bet's pole at zero."""
    before = fold([0.3, 0.01])
    mean, _ = quad(lambda u: before.update(u**20).value * 20 * u**19, 0, 1)
    assert mean == pytest.approx(before.value, rel=1e-3)


def test_drift_that_no_single_batch_shows_is_found_even_when_it_starts_late() -> None:
    rng = np.random.default_rng(2)
    clean, drifting = rng.uniform(size=40), rng.uniform(size=40) * 0.2
    assert not fold(clean.tolist()).raises(0.001)
    assert fold([*clean.tolist(), *drifting.tolist()]).raises(0.001)
    assert drifting.min() > 0.001


def test_the_value_at_the_start_is_one() -> None:
    assert EProcess().value == pytest.approx(1.0)


@given(st.lists(st.floats(0, 1), max_size=50))
def test_smaller_p_values_are_never_less_evidence(p_values: list[float]) -> None:
    smaller = [p / 2 for p in p_values]
    assert fold(smaller).log_value >= fold(p_values).log_value - 1e-9
    assert fold(p_values).log_value > -log(len(p_values) + 1) - 1e-9


def test_p_values_outside_their_range_are_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        EProcess().update(1.5)


def test_a_batch_answers_with_bonferroni_over_its_tests() -> None:
    """Holm multiplies the smallest p-value by the number of tests."""
    assert batch_p_value(holm([0.02, 0.5, 0.9])) == pytest.approx(0.06)
    assert batch_p_value(holm([0.02, 0.5, 0.9]), excess=0.01) == pytest.approx(0.02)
    assert batch_p_value([], excess=0.3) == pytest.approx(0.3)
    assert batch_p_value([]) == 1.0
