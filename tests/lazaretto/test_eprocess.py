from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import betabinom, norm

from lazaretto.stats.martingale import SMALL, BatchFacts, EProcess, Past, batch_p_value, fold


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


def test_a_batch_s_p_value_is_of_its_tests_and_of_its_small_p_values() -> None:
    tests_say = batch_p_value(BatchFacts(0.01, 5, 100), Past(), 1000)
    assert tests_say == pytest.approx(0.02), "Bonferroni over the two parts"
    counts_say = batch_p_value(BatchFacts(0.9, 20, 100), Past(), 1000)
    expected = betabinom(100, 50, 951).sf(19)
    assert counts_say == pytest.approx(2 * expected, rel=1e-4)
    assert batch_p_value(BatchFacts(None, 0, 0), Past(), 1000) is None
    assert batch_p_value(BatchFacts(None, 5, 100), Past(), 10) == 1.0, (
        "no such small p-value exists"
    )
    assert 0 < (batch_p_value(BatchFacts(None, 900_000, 1_000_000), Past(), 1000) or 0) < 1e-100


def lucky_source(rng: np.random.Generator, calibration: int, batches: int) -> EProcess:
    """A clean source and a reference whose luck all of its batches share."""
    a = int(SMALL * (calibration + 1))
    share = rng.beta(a, calibration + 1 - a)
    luck = rng.normal()
    before = Past()
    worst = process = EProcess()
    for _ in range(batches):
        # A test between as many records as trusted rows: half of its noise is the reference's.
        z = (luck + rng.normal()) / np.sqrt(2)
        facts = BatchFacts(float(norm.sf(z)), int(rng.binomial(calibration, share)), calibration)
        p_value = batch_p_value(facts, before, calibration)
        assert p_value is not None
        process = process.update(p_value)
        before = before.after(facts)
        worst = max(worst, process, key=lambda e: e.log_value)
    return worst


def test_a_reference_s_bad_luck_does_not_raise_against_a_clean_source() -> None:
    """A source that delivers forty times as many records as the reference has rows."""
    rng = np.random.default_rng(5)
    raised = sum(lucky_source(rng, 500, 40).raises(0.05) for _ in range(150))
    assert raised / 150 <= 0.05


def test_poison_that_is_held_batch_by_batch_raises_in_the_end() -> None:
    """3 % poison beside what is extreme by chance; the tests, on what is left, see nothing."""
    rng = np.random.default_rng(0)
    before = Past()
    process = EProcess()
    for _ in range(12):
        facts = BatchFacts(0.5, int(rng.binomial(300, 0.05)) + 9, 300)
        p_value = batch_p_value(facts, before, 10_000)
        assert p_value is not None
        process = process.update(p_value)
        before = before.after(facts)
    assert process.raises(0.001)
