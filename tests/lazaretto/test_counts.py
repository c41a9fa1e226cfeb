"""Our distributions are SciPy's, which are only too slow to load."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import (
    betabinom,
    binom,
    chi2,
    false_discovery_control,
    hypergeom,
    kstwo,
)

from lazaretto.screen.batch_tests.near_duplicates import connected
from lazaretto.stats.counts import (
    beta_binomial,
    beta_binomial_moments,
    binomial,
    hypergeometric_tail,
)
from lazaretto.stats.multiple import adjusted_p_values
from lazaretto.stats.tails import chi_squared_tail, kolmogorov_tail


@settings(deadline=None)
@given(st.integers(1, 2000), st.floats(0.001, 0.999), st.data())
def test_binomial(n: int, p: float, data: st.DataObject) -> None:
    low = data.draw(st.integers(0, n))
    high = data.draw(st.integers(low, n))
    expected = binom(n, p).pmf(np.arange(low, high + 1))
    np.testing.assert_allclose(binomial(n, p, low, high), expected, rtol=1e-8, atol=1e-290)


@settings(deadline=None)
@given(st.integers(1, 2000), st.integers(1, 3000), st.integers(1, 30_000), st.data())
def test_beta_binomial(n: int, a: int, b: int, data: st.DataObject) -> None:
    low = data.draw(st.integers(0, n))
    high = data.draw(st.integers(low, n))
    known = betabinom(n, a, b)
    expected = known.pmf(np.arange(low, high + 1))
    np.testing.assert_allclose(beta_binomial(n, a, b, low, high), expected, rtol=1e-7, atol=1e-290)
    assert beta_binomial_moments(n, a, b) == pytest.approx((known.mean(), known.std()))


def test_a_million_records_are_counted_as_well() -> None:
    n, a, b = 1_000_000, 50, 4951
    expected = betabinom(n, a, b).pmf(np.arange(3001))
    np.testing.assert_allclose(beta_binomial(n, a, b, 0, 3000), expected, rtol=1e-6)


@settings(deadline=None)
@given(st.integers(1, 1500), st.data())
def test_hypergeometric(total: int, data: st.DataObject) -> None:
    marked, drawn = data.draw(st.integers(0, total)), data.draw(st.integers(0, total))
    count = data.draw(st.integers(0, total + 1))
    expected = hypergeom(total, marked, drawn).sf(count - 1)
    found = hypergeometric_tail(count, total, marked, drawn)
    assert found == pytest.approx(expected, rel=1e-8, abs=1e-12)


@settings(deadline=None)
@given(st.floats(0, 3000), st.integers(1, 400))
def test_chi_squared(statistic: float, freedom: int) -> None:
    expected = chi2(freedom).sf(statistic)
    assert chi_squared_tail(statistic, freedom) == pytest.approx(expected, rel=1e-9, abs=1e-290)


@settings(deadline=None)
@given(st.integers(10, 100_000), st.floats(0, 4))
def test_kolmogorov_is_near_and_never_much_below(n: int, reach: float) -> None:
    distance = min(1.0, reach / n**0.5)
    found, exact = kolmogorov_tail(distance, n), kstwo.sf(distance, n)
    assert found == pytest.approx(exact, abs=0.0025 if n < 100 else 0.0002)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_adjusted_p_values(values: list[float]) -> None:
    np.testing.assert_allclose(adjusted_p_values(values), false_discovery_control(values))


@settings(deadline=None)
@given(
    st.integers(1, 40).flatmap(
        lambda rows: st.tuples(
            st.just(rows),
            st.lists(st.tuples(st.integers(0, rows - 1), st.integers(0, rows - 1)), max_size=60),
        )
    )
)
def test_components_are_those_of_the_graph(graph: tuple[int, list[tuple[int, int]]]) -> None:
    rows, edges = graph
    start, end = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    matrix = coo_array((np.ones(len(edges)), (start, end)), shape=(rows, rows))
    theirs = connected_components(matrix, directed=False)[1]
    ours = connected(rows, start, end)
    assert len({*zip(ours.tolist(), theirs.tolist(), strict=True)}) == len(set(theirs.tolist()))
    assert len(set(ours.tolist())) == len(set(theirs.tolist()))
