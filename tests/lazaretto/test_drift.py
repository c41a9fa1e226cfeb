from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, entropy, fisher_exact, ks_2samp
from tests.lazaretto.detection_data import classes, flip, policy, table

import lazaretto as lz
from lazaretto.drift import ColumnDrift, column_drift, divergences, kl_band, psi_band, vector_drift
from lazaretto.drift._exact import counts_p, more_p, smirnov_p
from lazaretto.drift.triage import TriageCategory, triage


def test_divergences_are_scipys() -> None:
    p, q = np.array([30.0, 50.0, 20.0]), np.array([10.0, 60.0, 30.0])
    psi, kl, js = divergences(p, q)
    a, b = (p + 0.5) / (p + 0.5).sum(), (q + 0.5) / (q + 0.5).sum()
    assert kl == pytest.approx(entropy(a, b))  # D(reference || batch)
    assert psi == pytest.approx(entropy(b, a) + entropy(a, b))
    assert js == pytest.approx(jensenshannon(a, b, base=2))


@pytest.mark.parametrize(("kl", "band"), [(0.04, "none"), (0.05, "moderate"), (0.1, "significant")])
def test_bands_of_the_divergence(kl: float, band: str) -> None:
    assert kl_band(kl) == band


@pytest.mark.parametrize(
    ("psi", "band"), [(0.05, "none"), (0.1, "moderate"), (0.2, "significant"), (0.4, "major")]
)
def test_bands_are_those_of_practice(psi: float, band: str) -> None:
    assert psi_band(psi) == band


def people(seed: int, rows: int = 1500, shift: float = 0.0) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "age": rng.normal(40 + 10 * shift, 10, rows),
            "city": rng.choice(["A", "B", "C"], rows, p=[0.6, 0.3, 0.1]),
            "income": rng.lognormal(10, 1, rows),
        }
    )


def test_a_shifted_column_is_found_and_the_others_are_not() -> None:
    found = {d.column: d for d in column_drift(people(0), people(1, shift=1.0))}
    assert found["age"].band == "major"
    assert found["age"].adjusted < 1e-6
    assert found["income"].band == found["city"].band == "none"
    assert min(found["income"].adjusted, found["city"].adjusted) > 0.01


def test_columns_of_clean_batches_are_called_drifted_at_the_false_discovery_rate() -> None:
    reference = people(0)
    hits = [
        any(d.adjusted <= 0.05 for d in column_drift(reference, people(seed, 300)))
        for seed in range(1, 41)
    ]
    assert sum(hits) <= 6


@pytest.mark.parametrize(("m", "n"), [(1, 40), (7, 5), (60, 300)])
def test_smirnovs_p_value_of_a_small_batch_is_scipys(m: int, n: int) -> None:
    rng = np.random.default_rng(m)
    a, b = rng.normal(0.6, 1, m), rng.normal(size=n)
    expected = ks_2samp(a, b, method="exact")
    assert smirnov_p(expected.statistic, m, n) == pytest.approx(expected.pvalue, rel=1e-6)


def test_the_p_value_of_more_nulls_is_fishers() -> None:
    expected = fisher_exact([[4, 16], [3, 97]], alternative="greater").pvalue
    assert more_p(4, 20, 3, 100) == pytest.approx(expected)


def test_counts_that_are_large_are_compared_as_scipy_does() -> None:
    table = np.array([[400, 300, 300], [150, 90, 60]])
    expected = chi2_contingency(table, correction=False).pvalue
    assert counts_p(table[0], table[1]) == pytest.approx(expected)


@pytest.mark.parametrize("rows", [1, 4, 12, 40])
def test_small_clean_batches_hardly_ever_drift(rows: int) -> None:
    """Rare categories and nulls made many of them drift by the asymptotic tests."""
    rng = np.random.default_rng(17)

    def draw(count: int) -> pa.Table:
        rare = rng.choice([f"c{n}" for n in range(20)], count, p=np.r_[0.81, np.full(19, 0.01)])
        age = pa.array(rng.normal(size=count), mask=rng.random(count) < 0.05)
        return pa.table({"age": age, "rare": rare, "income": rng.lognormal(size=count)})

    reference = draw(2000)
    hits = [any(d.moved(0.01) for d in column_drift(reference, draw(rows))) for _ in range(60)]
    assert sum(hits) <= 3


def test_nulls_and_strange_columns_do_not_crash() -> None:
    reference = pa.table({"x": [1.0, 2.0, None], "t": ["a", None, "b"]})
    batch = pa.table({"x": pa.nulls(3, pa.float64()), "t": ["z", "z", "z"]})
    found = column_drift(reference, batch)
    assert found[0].nulls == pytest.approx(2 / 3)
    assert all(0 <= d.p_value <= 1 for d in found)


def test_embeddings_are_compared_along_their_axes() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(500, 8)), rng.normal(size=(500, 8))
    assert min(d.adjusted for d in vector_drift(a, b)) > 0.001
    assert min(d.adjusted for d in vector_drift(a, b + 0.5)) < 1e-4


@pytest.fixture(scope="module")
def reference() -> lz.Reference:
    return lz.Reference.fit(table(*classes(np.random.default_rng(0), 600)), policy())


def drifts(share: float, columns: int = 20) -> list[ColumnDrift]:
    return [
        ColumnDrift(
            f"c{i}",
            "numeric",
            0.4,
            0.1,
            0.1,
            0.3,
            1e-9,
            1e-8,
            "major",
            0.0,
            1.0,
            1.0,
        )
        if i < share * columns
        else ColumnDrift(f"c{i}", "numeric", 0.01, 0.0, 0.0, 0.02, 0.7, 0.9, "none", 0.0, 1.0, 1.0)
        for i in range(columns)
    ]


def test_held_records_of_one_class_in_an_else_ordinary_batch_look_like_poison(
    reference: lz.Reference,
) -> None:
    points, labels = classes(np.random.default_rng(1), 200)
    target = np.flatnonzero(labels == 0)[:25]
    flip(labels, target)
    result = lz.screen(table(points, labels), reference, policy())
    answer = triage(result, drifts(0.0), previous=[0.0])
    assert answer.category is TriageCategory.POISONING
    assert "labelled '1'" in answer.evidence[0]


def test_many_columns_in_one_step_look_like_a_fault(reference: lz.Reference) -> None:
    result = lz.screen(table(*classes(np.random.default_rng(2), 100)), reference, policy())
    stepped = triage(result, drifts(0.8), previous=[0.0, 0.0])
    assert stepped.category is TriageCategory.PIPELINE
    replayed = triage(result, drifts(0.0), golden_mismatch=0.5)
    assert replayed.category is TriageCategory.PIPELINE
    assert "golden set" in replayed.evidence[0]


def test_a_population_that_moves_slowly_is_triaged_as_environment(
    reference: lz.Reference,
) -> None:
    result = lz.screen(table(*classes(np.random.default_rng(3), 100)), reference, policy())
    answer = triage(result, drifts(0.5), previous=[0.2, 0.4])
    assert answer.category is TriageCategory.ENVIRONMENT


def test_nothing_found_is_said_to_be_nothing(reference: lz.Reference) -> None:
    result = lz.screen(table(*classes(np.random.default_rng(4), 100)), reference, policy())
    if result.n_held == 0:
        assert triage(result, drifts(0.0)).category is TriageCategory.NONE
