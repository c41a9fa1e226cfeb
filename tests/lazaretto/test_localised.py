from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from many import some
from tests.lazaretto.detection_data import classes, flip, policy, table
from tests.support.many import examples

import lazaretto as lz
from lazaretto.reference._state import Power
from lazaretto.screen import power_told
from lazaretto.screen._power import weak_spot
from lazaretto.screen._scan import Suspects, scan
from lazaretto.screen._seed import seed_of
from lazaretto.stats.conformal import Calibration, levels, suspects
from lazaretto.stats.localised import Budget, KnownRows, broad_excess, class_excess
from lazaretto.stats.slow import LEVELS, Slow, tally

RATE, ALPHA = 0.01, 0.001


@cache
def fitted() -> lz.Reference:
    """A small reference of two classes."""
    return lz.Reference.fit(table(*classes(np.random.default_rng(16), 300)), policy())


def drawn(rng: np.random.Generator, n: int, m: int) -> tuple[KnownRows, np.ndarray, np.ndarray]:
    """A calibration and a clean batch of three classes, of which one is odder than the others."""
    known = rng.integers(3, size=n)
    label = rng.integers(3, size=m)
    there = rng.normal(size=n) + (known == 2)
    here = rng.normal(size=m) + (label == 2)
    ordered = np.sort(there)
    above = n - np.searchsorted(ordered, here, side="left")
    itself = n - np.searchsorted(ordered, there, side="left")
    return KnownRows(itself / (n + 1), known), (1 + above) / (n + 1), label


def test_the_budget_is_never_more_than_what_is_promised() -> None:
    for rate, alpha, records in ((0.01, 0.001, 5000), (0.2, 0.05, 99), (0.05, 0.01, 100)):
        shared = Budget.of(rate, alpha, records)
        parts = (shared.hochberg, shared.pooled, shared.classes, shared.scan, shared.broad)
        assert sum(parts) == pytest.approx(rate + alpha)
        assert min(parts) >= 0


def test_who_lowers_the_chance_that_a_clean_batch_is_held_lowers_that_of_every_test() -> None:
    usual, careful = Budget.of(0.01, 0.001, 180), Budget.of(0.01, 1e-6, 180)
    assert usual.broad == pytest.approx(0.001)
    assert careful.broad == 1e-6
    assert (careful.hochberg, careful.classes) == (usual.hochberg, usual.classes)


def test_clean_batches_are_touched_as_seldom_as_promised() -> None:
    """All parts that look at p-values, over calibrations and batches, at a rate that shows."""
    rate, alpha, touched, rounds = 0.1, 0.02, 0, 300
    for seed in range(rounds):
        known, p, label = drawn(np.random.default_rng(seed), 800, 400)
        calibration = Calibration((800,), np.zeros(400, dtype=np.int64))
        shared = Budget.of(rate, alpha, 400)
        held = suspects(p, calibration, rate=rate, alpha=alpha).any()
        tried = levels(rate, calibration)
        found = class_excess(p, label, known, levels=tried, alpha=shared.classes)
        held |= any(one.p_value <= shared.classes for one in found)
        held |= broad_excess(p, calibration).p_value <= shared.broad
        touched += bool(held)
    assert touched / rounds <= rate + alpha


def test_a_class_with_too_many_odd_records_is_named_and_no_other() -> None:
    known, p, label = drawn(np.random.default_rng(1), 2000, 1000)
    p[np.flatnonzero(label == 1)[:16]] = 0.002
    tried = levels(RATE, Calibration((2000,), np.zeros(1000, dtype=np.int64)))
    found = class_excess(p, label, known, levels=tried, alpha=0.0025)
    assert [one.label for one in found if one.p_value <= 0.0025] == [1]


def test_the_share_of_poison_is_estimated_and_what_is_left_after_holding() -> None:
    rng = np.random.default_rng(2)
    calibration = Calibration((3000,), np.zeros(1000, dtype=np.int64))
    p = np.concatenate([rng.uniform(0, 0.4, 200), rng.uniform(0, 1, 800)])
    found = broad_excess(p, calibration)
    assert found.p_value < 1e-6
    assert 0.12 <= found.share <= 0.25
    assert found.remaining == found.share
    clean = broad_excess(rng.uniform(0, 1, 1000), calibration)
    assert clean.remaining == 0


def test_a_batch_whose_rest_would_be_poisoned_is_held_whole_and_says_why() -> None:
    rng = np.random.default_rng(3)
    reference = lz.Reference.fit(table(*classes(rng, 800)), policy())
    points, labels = classes(rng, 600)
    points = points * 0.25 + rng.normal(size=points.shape).astype(np.float32)
    flip(labels, np.arange(200))
    result = lz.screen(table(points, labels), reference, policy(batch={"tests": {}}))
    assert result.verdict is lz.Verdict.HOLD_BATCH
    assert "screen.batch.max_remaining_share is 0.05" in str(result.note) or "suspect" in str(
        result.note
    )
    never = {"max_remaining_share": 1.0, "hold_when_held_fraction": 1.0}
    admitted = lz.screen(table(points, labels), reference, policy(batch=never))
    assert "max_remaining_share" not in str(admitted.note)


def ring(rng: np.random.Generator, n: int) -> np.ndarray:
    rows = rng.normal(size=(n, 6)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_a_crowd_of_the_batch_is_found_and_sides_by_chance_are_not() -> None:
    false = 0
    for seed in range(120):
        rng = np.random.default_rng([4, seed])
        vector = ring(rng, 200)
        batch = rng.permutation(200) < 70
        label, odd = rng.integers(2, size=200), rng.uniform(0.001, 0.2, 200)
        found = scan(Suspects(vector, label, batch, odd), seed=seed)
        assert found is not None
        false += found.p_value <= 0.1
    assert false <= 20  # 12 are expected
    vector, batch = ring(rng, 400), rng.permutation(400) < 100
    label = np.zeros(400, dtype=np.int64)
    crowd = vector[:1] + rng.normal(scale=0.05, size=(25, 6)).astype(np.float32)
    both = np.concatenate([vector, crowd / np.linalg.norm(crowd, axis=1, keepdims=True)])
    label = np.concatenate([label, np.zeros(25, dtype=np.int64)])
    sides = np.concatenate([batch, np.ones(25, dtype=bool)])
    odd = rng.uniform(0.001, 0.2, 425)
    found = scan(Suspects(both, label, sides, odd), seed=0)
    assert found is not None
    assert found.p_value <= 0.01
    assert (found.level[400:] <= 0.01).mean() >= 0.9
    assert np.isinf(found.level[~sides]).all()
    assert not (found.level < found.p_value).any()


def test_clean_sources_never_raise_and_a_slow_drip_does() -> None:
    """100 batches of each clean source at .001; then two odd records in each batch of 200."""
    names = ["ham", "spam"]
    for source in some(range(100), 4):
        rng = np.random.default_rng([5, source])
        known = tally(rng.uniform(size=2000), rng.integers(2, size=2000), names)
        found = Slow()
        for _ in range(100):
            found = found.after(tally(rng.uniform(size=50), rng.integers(2, size=50), names), known)
            assert found.p_value > 0.0005
    rng = np.random.default_rng(6)
    known = tally(rng.uniform(size=6000), rng.integers(2, size=6000), names)
    found, alarm = Slow(), 0
    for number in range(1, 31):
        p, label = rng.uniform(size=200), rng.integers(2, size=200)
        p[:2], label[:2] = 0.002, 1
        found = found.after(tally(p, label, names), known)
        if not alarm and found.p_value <= 0.0005:
            alarm = number
    assert 0 < alarm <= 15
    assert (found.name, len(found.totals)) == ("spam", 2)
    assert found.level in LEVELS


def test_a_reference_predicts_what_it_finds() -> None:
    rng = np.random.default_rng(7)
    apart = lz.Reference.fit(table(*classes(rng, 500)), policy())
    points, labels = classes(rng, 500)
    mixed = lz.Reference.fit(
        table((0.1 * points + rng.normal(size=points.shape)).astype(np.float32), labels), policy()
    )

    def recall(reference: lz.Reference, share: float) -> float:
        found = [one for one in reference.power if (one.attack, one.share) == ("flips", share)]
        return found[0].recall

    assert recall(apart, 0.05) >= 0.9
    assert recall(mixed, 0.05) <= 0.3
    points, labels = classes(rng, 1000)
    flip(labels, np.arange(50))
    held = lz.screen(table(points, labels), apart, policy()).records["held"].to_numpy()
    assert abs(held[:50].mean() - recall(apart, 0.05)) <= 0.1
    assert "labels changed by chance" in power_told(apart)[0]


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["flips", "turned"]), st.floats(0.002, 0.5), st.floats(0, 1)),
        min_size=1,
        max_size=8,
    ),
    st.floats(0.001, 0.9),
)
def test_what_the_gate_cannot_see_by_trial_it_says(
    tried: list[tuple[str, float, float]], wanted: float
) -> None:
    """Whatever was tried and is asked: it is silent only where a dose of at most that was seen."""
    reference = replace(fitted(), power=tuple(Power(*one) for one in tried))
    asked = policy(min_poison_share=wanted)
    said = weak_spot(reference, asked)
    near = [one for one in reference.power if one.share <= wanted * (1 + 1e-9)]
    largest = max((one.share for one in near), default=0.0)
    assert (said is None) == bool(
        near and all(one.recall >= 0.5 for one in near if one.share == largest)
    )


def test_fabricated_rows_are_seen_by_place_alone() -> None:
    """Columns that depend on each other, labels that do not: each column by itself is as usual."""
    rng = np.random.default_rng(16)
    hidden = rng.normal(size=(3000, 2))
    x = np.repeat(hidden, 3, axis=1) + 0.3 * rng.normal(size=(3000, 6))
    y = rng.integers(2, size=3000)
    portfolio = {"mahalanobis": {}, "knn_label": {}, "self_confidence": {}}
    portfolio |= {"density": {"mode": "enforce", "apart": True}}
    asked = lz.Policy.model_validate(
        {
            "version": 1,
            "dataset": "toy",
            "screen": {"detectors": portfolio},
            "columns": {"record_id": "id", "label": "label", "embedding": "embedding"},
        }
    )
    reference = lz.Reference.fit(table(x[:1500].astype(np.float32), y[:1500]), asked)
    batch = x[1500:2500].copy()
    batch[:50] = np.stack([rng.permutation(column)[:50] for column in batch.T], 1)
    found = lz.screen(table(batch.astype(np.float32), y[1500:2500]), reference, asked)
    held = found.records["held"].to_numpy()
    assert [test.name for test in found.tests if test.fired and test.name == "apart_excess"]
    assert held[:50].mean() >= 0.5
    assert held[50:].mean() <= 0.02
    reasons = found.records["reasons"].to_pylist()
    assert any(text.startswith("apart_excess: density:") for text in reasons[int(held.argmax())])


def test_an_annotator_who_turns_labels_is_held_as_a_group() -> None:
    rng = np.random.default_rng(17)
    points, labels = classes(rng, 600)
    asked = lz.Policy.model_validate(
        {
            "version": 1,
            "dataset": "toy",
            "columns": {
                "record_id": "id",
                "label": "label",
                "embedding": "embedding",
                "groups": ["annotator", "domain"],
            },
        }
    )
    reference = lz.Reference.fit(table(*classes(rng, 600)), asked)
    annotator = rng.integers(12, size=len(labels))
    mine = annotator == 3

    def screened(labels: np.ndarray) -> tuple[lz.Screening, np.ndarray]:
        data = table(points, labels)
        names = pa.array([f"a{number}" for number in annotator])
        found = lz.screen(data.append_column("annotator", names), reference, asked)
        return found, found.records["held"].to_numpy()

    found, held = screened(labels)
    assert not held.any()
    told = {test.name: test for test in found.tests}["group_excess"]
    assert not told.fired
    assert "the batch has no column 'domain'" in told.detail
    flip(labels, np.flatnonzero(mine & (rng.random(len(labels)) < 0.4)))
    found, held = screened(labels)
    assert held[mine].all()
    assert held[~mine].mean() <= 0.02
    assert "annotator 'a3'" in {test.name: test for test in found.tests}["group_excess"].detail
    odd, known = found.odd
    assert [one.name for one in odd] == [one.name for one in known]
    assert any("annotator 'a3'" in one.name for one in odd)


def test_a_batch_decides_what_is_drawn_and_a_rerun_draws_the_same() -> None:
    rng = np.random.default_rng(18)
    data = table(*classes(rng, 200))
    first, second = (lz.screen(data, fitted(), policy()) for _ in range(2))
    assert first.tests == second.tests
    assert seed_of("a", "b") not in (seed_of("a", "c"), seed_of("c", "b"))


def test_clean_vectors_of_more_dimensions_than_rows_form_no_neighbourhoods() -> None:
    """By a map that only the trusted rows have bent, records are more alike than trusted rows."""
    found = []
    asked = lz.Policy.model_validate(
        {
            "version": 1,
            "dataset": "toy",
            "columns": {"record_id": "id", "embedding": "embedding"},
            "screen": {"min_poison_share": 0.2, "detectors": {"mahalanobis": {}}},
        }
    )
    for seed in range(8):
        rng = np.random.default_rng([seed, 5])
        rows = rng.normal(size=(260, 8)) @ rng.normal(size=(8, 200)) + rng.normal(size=(260, 200))
        both = table(rows.astype(np.float32), np.zeros(260, dtype=np.int64)).drop("label")
        reference = lz.Reference.fit(both.slice(0, 130), asked, seed=seed)
        tests = lz.screen(both.slice(130), reference, asked).tests
        found += [test.p_value for test in tests if test.name == "neighbourhood"]
    assert len(found) == 8
    assert np.median(found) > 0.2
    assert min(found) > 0.01
