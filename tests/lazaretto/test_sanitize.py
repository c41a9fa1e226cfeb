"""The decision of sanitize: what is held on poisoned, clean and hostile training sets."""

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from many import examples

from lazaretto.errors import NotFoundError, UsageError
from lazaretto.policy import Sanitize
from lazaretto.sanitize import class_picture, sanitize
from lazaretto.sanitize.evidence import combine, tail_test
from lazaretto.sanitize.judge import ClassOutcome, Evidence
from lazaretto.sanitize.selection import select
from lazaretto.sanitize.uncalibrated import judge_uncalibrated


def draw(seed, *, n=300, m=300, d=24, classes=4, poison=0, shift=6.0):
    """Classes with their own scales; poison sits along a low-variance direction of class 2."""
    rng = np.random.default_rng(seed)
    scales = np.geomspace(3, 0.3, d) * np.exp(0.3 * rng.standard_normal((classes, d)))
    axes = np.linalg.qr(rng.standard_normal((d, d)))[0]
    means = 4 * rng.standard_normal((classes, d))

    def rows(c, k):
        return means[c] + (rng.standard_normal((k, d)) * scales[c]) @ axes

    train = np.concatenate([rows(c, n) for c in range(classes)])
    labels = np.repeat(np.arange(classes), n)
    clean = np.concatenate([rows(c, m) for c in range(classes)])
    is_poison = np.zeros(len(train), bool)
    bad = np.flatnonzero(labels == 2)[:poison]
    train[bad] += shift * scales[2, -3] * axes[-3]
    is_poison[bad] = True
    ids = np.array([f"r{i:05d}" for i in range(len(train))])
    return train, labels, ids, (clean, np.repeat(np.arange(classes), m)), is_poison


def held(result):
    return result.records["held"].to_numpy()


@pytest.mark.parametrize("poison", [8, 30, 90])
def test_poison_off_the_principal_directions_is_held_at_the_stated_rate(poison):
    train, labels, ids, trusted, is_poison = draw(1, poison=poison, shift=9.0)
    result = sanitize(train, labels, ids, trusted=trusted)
    h = held(result)
    assert h[is_poison].mean() >= 0.99
    assert h[~is_poison].mean() <= 0.01
    table = {row["label"]: row for row in result.classes.to_pylist()}
    assert [k for k, row in table.items() if row["fired"]] == ["2"]
    assert table["2"]["statistic"] > table["2"]["threshold"] > 1
    assert result.calibrated
    assert result.n_held == h.sum() == len(result.held_ids)


def test_a_clean_training_set_comes_back_whole():
    fired = sum(
        bool(
            sum(
                r["fired"]
                for r in sanitize(*draw(seed)[:3], trusted=draw(seed)[3]).classes.to_pylist()
            )
        )
        for seed in range(5)
    )
    assert fired == 0


def test_clean_rows_of_a_fired_class_are_held_at_the_rate_and_no_more():
    rates = []
    for seed in range(6):
        train, labels, ids, trusted, is_poison = draw(seed, n=600, m=600, poison=60, shift=10.0)
        result = sanitize(
            train, labels, ids, trusted=trusted, policy=Sanitize(false_quarantine_rate=0.05)
        )
        target = (labels == 2) & ~is_poison
        rates.append(held(result)[target].mean())
    # Nominal 5 %; the mean of six runs of 540 rows has a standard error of about 0.5 %.
    assert 0.02 < np.mean(rates) < 0.065


def test_order_of_rows_does_not_matter():
    train, labels, ids, trusted, _ = draw(3, poison=20)
    turned = np.random.default_rng(0).permutation(len(labels))
    a = sanitize(train, labels, ids, trusted=trusted)
    b = sanitize(train[turned], labels[turned], ids[turned], trusted=trusted)
    scores = a.records["score"].to_numpy()[turned]
    np.testing.assert_allclose(b.records["score"].to_numpy(), scores, rtol=1e-4)


def test_few_trusted_rows_use_the_modelled_tail_and_say_so():
    train, labels, ids, trusted, is_poison = draw(4, n=150, m=40, poison=20, shift=14.0)
    result = sanitize(train, labels, ids, trusted=trusted)
    h = held(result)
    assert h[is_poison].mean() >= 0.95
    assert h[~is_poison].mean() <= 0.02
    assert "tail is modelled" in result.classes["note"][2].as_py()


def test_several_evidence_together_hold_the_rate_with_a_hundred_trusted_rows():
    """100 rows carry 1 % by ranks, and nothing less: the evidence must not split the rate."""
    train, labels, ids, trusted, is_poison = draw(4, m=100, poison=40, shift=12.0)
    result = sanitize(train, labels, ids, trusted=trusted)
    assert held(result)[is_poison].mean() >= 0.9
    assert held(result)[~is_poison].mean() <= 0.01


def test_rows_that_are_not_finite_are_held_and_do_not_stop_the_rest():
    train, labels, ids, trusted, is_poison = draw(5, poison=30, shift=9.0)
    train[-1], train[-2, 3], train[-3, 0] = np.nan, np.inf, 1e30
    result = sanitize(train, labels, ids, trusted=trusted)
    assert held(result)[-3:].all()
    assert "finite" in result.records["reasons"][-1].as_py()[0]
    assert result.records["score"][-1].as_py() is None
    assert held(result)[is_poison].mean() >= 0.99


def test_a_class_without_trusted_rows_is_reported_not_judged():
    train, labels, ids, (clean, clean_labels), _ = draw(6)
    keep = clean_labels != 3
    result = sanitize(train, labels, ids, trusted=(clean[keep], clean_labels[keep]))
    row = result.classes.to_pylist()[3]
    assert row["p_value"] is None
    assert not row["fired"]
    assert "0 trusted rows" in row["note"]
    assert not result.calibrated


def test_reasons_name_method_layer_and_class():
    train, labels, ids, trusted, _ = draw(1, poison=30, shift=9.0)
    result = sanitize({"fc1": train}, labels, ids, trusted=({"fc1": trusted[0]}, trusted[1]))
    reason = result.records.filter(result.records["held"])["reasons"][0].as_py()[0]
    assert reason.startswith("whitened_spectral@fc1: further out than")
    assert "class '2'" in reason
    assert "rank_whitened_spectral@fc1" in result.records.column_names


def test_mistakes_are_told():
    train, labels, ids, trusted, _ = draw(7)
    with pytest.raises(UsageError, match="record ids"):
        sanitize(train, labels, ids[:5], trusted=trusted)
    with pytest.raises(UsageError, match="features"):
        sanitize(train, labels, ids, trusted=(trusted[0][:, :3], trusted[1]))
    with pytest.raises(UsageError, match="lack layer 'a'"):
        sanitize({"a": train}, labels, ids, trusted=({"b": trusted[0]}, trusted[1]))
    with pytest.raises(UsageError, match="unknown sanitizing methods"):
        sanitize(train, labels, ids, trusted=trusted, policy=Sanitize(methods=["magic"]))
    with pytest.raises(UsageError, match="missing"):
        sanitize(train, [None, *labels[1:].tolist()], ids, trusted=trusted)
    with pytest.raises(UsageError, match="pool or flatten"):
        sanitize(train.reshape(-1, 4, 6), labels, ids, trusted=trusted)
    with pytest.raises(UsageError, match="no row"):
        sanitize(train[:0], labels[:0], ids[:0], trusted=trusted)


def test_without_trusted_rows_nothing_is_promised_and_little_is_held():
    train, labels, ids, _, is_poison = draw(8, n=600, classes=8, poison=60, shift=12.0)
    result = sanitize(train, labels, ids)
    assert not result.calibrated
    assert result.records["p_value"].null_count == len(ids)
    h = held(result)
    assert h.mean() <= 0.02
    assert h[is_poison].mean() >= 0.75
    note = result.classes["note"][2].as_py()
    assert "among the furthest 2.0% of all rows" in note
    assert (
        "not calibrated" in result.records.filter(result.records["held"])["reasons"][0].as_py()[0]
    )
    clean = sanitize(*draw(9, n=600, classes=8)[:3])
    assert held(clean).mean() <= 0.02


@pytest.mark.parametrize("wild", [1e14, 1e7])
@pytest.mark.usefixtures("threads")
def test_a_wild_row_neither_stops_nor_blinds_sanitizing_without_trusted_rows(wild):
    train, labels, ids, _, is_poison = draw(8, n=600, classes=8, poison=60, shift=12.0)
    tame = held(sanitize(train, labels, ids))
    train[5], train[-5, 2] = wild, wild
    h = held(sanitize(train, labels, ids))
    assert h[5]
    assert h[-5]
    assert h[is_poison].mean() >= tame[is_poison].mean() - 0.05 > 0.9
    assert h.mean() <= 0.02


def test_a_class_that_dwarfs_the_others_stops_nothing_without_trusted_rows():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 300)
    train = rng.standard_normal((1800, 40))
    train[:, :10][labels != 3] = 0
    train[labels == 2] *= 1e9
    result = sanitize(train, labels, [f"{i:05d}" for i in range(1800)])
    assert result.n_held <= 36
    assert result.records["score"].null_count == 0


def test_methods_and_layers_are_combined_before_they_are_calibrated():
    train, labels, ids, (clean, clean_labels), is_poison = draw(
        10, n=400, m=400, poison=40, shift=10.0
    )
    noise = np.random.default_rng(0).standard_normal((2, len(ids), 5))
    result = sanitize(
        {"deep": train, "noise": noise[0]},
        labels,
        ids,
        trusted=({"deep": clean, "noise": noise[1, : len(clean)]}, clean_labels),
        policy=Sanitize(methods=["whitened_spectral", "mahalanobis", "spectral"]),
        repeats=1,
    )
    h = held(result)
    assert h[is_poison].mean() >= 0.95
    assert h[~is_poison].mean() <= 0.01
    assert result.classes["evidence"][2].as_py().endswith("@deep")
    assert sum(name.startswith("rank_") for name in result.records.column_names) == 6


def test_a_method_that_refuses_says_why_and_the_others_go_on():
    train, labels, ids, trusted, _ = draw(11)
    policy = Sanitize(methods=["scan", "mahalanobis"])
    result = sanitize(train, labels, ids, trusted=trusted, policy=policy, repeats=1)
    assert "scan@activations: scan compares classes and needs 6" in result.note
    with pytest.raises(UsageError, match="needs 6"):
        sanitize(train, labels, ids, trusted=trusted, policy=Sanitize(methods=["scan"]))


def test_the_picture_shows_held_records_and_escapes_the_label():
    train, labels, ids, (clean, clean_labels), _ = draw(1, poison=30, shift=9.0)
    names = np.array(["a", "b", "<script>", "d"])
    trusted = (clean, names[clean_labels])
    result = sanitize(train, names[labels], ids, trusted=trusted)
    svg = class_picture(result, train, "<script>", trusted=trusted)
    ElementTree.fromstring(svg)  # noqa: S314
    assert "<script>" not in svg
    assert svg.count('fill="#c0392b" fill-opacity') == result.n_held
    with pytest.raises(NotFoundError):
        class_picture(result, train, "z", trusted=trusted)


def test_a_handful_of_extreme_rows_is_held_though_their_class_proves_nothing():
    train, labels, ids, trusted, is_poison = draw(12, n=800, m=800, poison=8, shift=14.0)
    result = sanitize(train, labels, ids, trusted=trusted)
    h = held(result)
    assert not any(result.classes["fired"].to_pylist())
    assert h[is_poison].all()
    assert h[~is_poison].mean() <= 0.005


@pytest.mark.parametrize("level", [0.1, 1.0])
def test_classes_without_a_finding_lose_at_most_half_the_rate_between_them(level):
    policy = Sanitize(suspect_level=level, methods=["mahalanobis"])
    losses, worst = [], []
    for seed in range(20):
        train, labels, ids, trusted, _ = draw(seed, n=200, m=200)
        result = sanitize(train, labels, ids, trusted=trusted, policy=policy, repeats=1)
        if not any(result.classes["fired"].to_pylist()):
            losses.append(held(result).mean())
            worst.append(np.bincount(labels[held(result)], minlength=4).max())
    assert len(losses) >= 18
    assert max(losses) <= 0.005
    # 1 % of the 200 rows of a class; more only where its own p-value is within alpha.
    assert max(worst) <= 4
    assert np.mean(worst) <= (1 if level < 1 else 3)
    assert np.mean(losses) <= (0.001 if level < 1 else 0.005)


@pytest.mark.parametrize(("p_value", "most"), [(0.05, 5), (0.01, 17)])
def test_only_what_is_hardly_chance_loses_more_than_the_rate(p_value, most):
    """Of clean classes at most `alpha` may: each alone, however many there are."""
    n = 500
    score = np.arange(n, 0.0, -1)
    p_rows = np.where(np.arange(n) < 30, 0.005, 0.5)
    outcome = ClassOutcome(500, 1.0, p_value, None, ("m",), score, p_rows, {}, 12.0, None)
    groups = [np.arange(n), np.arange(n, 6 * n)]
    quiet = replace(outcome, p_value=0.9, p_rows=np.ones(5 * n))
    chosen = select(
        [outcome, quiet], np.zeros(2, bool), groups, rate=0.01, alpha=0.01, suspect_level=0.1
    )
    assert np.flatnonzero(chosen).tolist() == list(range(min(most, int(0.005 * 6 * n))))


def test_every_class_is_searched_on_request():
    train, labels, ids, trusted, is_poison = draw(12, n=800, m=800, poison=2, shift=14.0)
    policy = Sanitize(suspect_level=1.0, methods=["mahalanobis"])
    every = sanitize(train, labels, ids, trusted=trusted, policy=policy)
    assert held(every)[is_poison].all()
    assert held(every).mean() <= 0.0051


def flip(train, labels, count, seed=0):
    """Rows of other classes under label 2: what a backdoor that did not take looks like."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(np.flatnonzero(labels != 2))[:count]
    wrong = labels.copy()
    wrong[rows] = 2
    return train, wrong, np.isin(np.arange(len(labels)), rows)


@pytest.mark.parametrize("known", [True, False])
def test_wrong_labels_that_the_model_did_not_learn_are_held(known):
    train, labels, ids, trusted, _ = draw(13, n=400, m=400)
    train, named, wrong = flip(train, labels, 12)
    policy = Sanitize(methods=["label_margin"])
    result = sanitize(train, named, ids, trusted=trusted if known else None, policy=policy)
    h = held(result)
    assert h[wrong].mean() >= 0.9
    assert h[~wrong].mean() <= 0.015
    assert result.classes["fired"][2].as_py() or not known
    reasons = result.records.filter(result.records["held"])["reasons"].to_pylist()
    assert all("label_margin" in reason for (reason,) in reasons)


def test_evidence_that_says_nothing_does_not_dull_the_one_that_does():
    train, labels, ids, trusted, is_poison = draw(14, n=400, m=400, poison=30, shift=9.0)
    result = sanitize(train, labels, ids, trusted=trusted)
    row = result.classes.to_pylist()[2]
    assert row["fired"]
    assert "label_margin" not in row["evidence"]
    assert held(result)[is_poison].mean() >= 0.99
    assert "rows lie further out than" in row["note"]


def test_without_trusted_rows_what_both_see_comes_first_and_what_only_a_split_sees_has_its_turn():
    rng = np.random.default_rng(0)
    n = 6000
    lie, vote, split = np.exp(0.5 * rng.standard_normal((3, n))).astype(np.float32)
    both, one, divided = np.arange(40), np.arange(1000, 1040), np.arange(2000, 2040)
    lie[both], vote[both] = 15, 15
    lie[one] = 20
    split[divided] = 50
    evidence = [
        Evidence("mahalanobis@a", lie),
        Evidence("deep_knn@a", vote),
        Evidence("scan@a", split, view="split"),
    ]
    groups = [np.arange(n * c // 6, n * (c + 1) // 6) for c in range(6)]
    _, _, chosen = judge_uncalibrated(evidence, groups, 0.015)
    assert chosen.sum() == 90
    assert chosen[both].all()
    assert chosen[divided].sum() == 30
    assert chosen[one].sum() < 20


@settings(max_examples=examples(25), deadline=None)
@given(
    n=st.integers(1, 400),
    d=st.integers(1, 6),
    classes=st.integers(1, 5),
    limit=st.floats(0.001, 0.3),
    tail=st.sampled_from([1.0, 3.0, 30.0]),
    seed=st.integers(0, 99),
)
def test_without_trusted_rows_the_limit_is_never_exceeded(n, d, classes, limit, tail, seed):
    rng = np.random.default_rng(seed)
    train = rng.standard_t(tail, (n, d)).astype(np.float32)
    labels = rng.integers(0, classes, n)
    ids = [f"r{i}" for i in range(n)]
    result = sanitize(train, labels, ids, policy=Sanitize(uncalibrated_limit=limit), repeats=1)
    assert result.n_held <= limit * n
    assert not result.calibrated


def test_the_combined_p_value_keeps_its_level_and_needs_no_unanimity():
    rng = np.random.default_rng(0)
    null = rng.random((4, 20_000))
    assert (combine(null) <= 0.01).mean() == pytest.approx(0.01, abs=0.003)
    one = combine(np.array([[1e-9], [1.0], [1.0], [0.5]]))[0]
    assert one == pytest.approx(4e-9, rel=0.1)
    assert combine(np.array([[1e-9], [1e-9], [1e-9], [1e-9]]))[0] < one


def test_a_class_with_a_heavier_tail_by_nature_is_no_finding():
    """Its own trusted rows say so, though they are few against those of the other classes."""
    rng = np.random.default_rng(0)
    sizes = (1600, 1000)
    groups, trusted_groups = ([np.arange(n * c, n * (c + 1)) for c in range(10)] for n in sizes)

    def scores(n):
        rows = rng.standard_exponential((10, n))
        rows[1] = 0.7 * rng.pareto(2.5, n)
        return rows.ravel().astype(np.float32)

    tests = [
        tail_test(scores(sizes[0]), scores(sizes[1]), groups, trusted_groups) for _ in range(100)
    ]
    p_values = np.array([test.p_value for test in tests])
    assert (p_values[:, 1] <= 0.01).mean() <= 0.03
    assert (np.delete(p_values, 1, axis=1) <= 0.01).mean() <= 0.01


def test_eight_far_rows_among_thousands_are_a_finding():
    rng = np.random.default_rng(0)
    groups, trusted_groups = (
        [np.arange(n * c, n * (c + 1)) for c in range(10)] for n in (1600, 1000)
    )
    clean, trusted = (rng.standard_exponential(10 * n).astype(np.float32) for n in (1600, 1000))
    clean[groups[7][:8]] += 12
    told = tail_test(clean, trusted, groups, trusted_groups)
    assert told.p_value[7] < 1e-3
    assert told.seen[7] >= 8 > 4 * told.expected[7]
