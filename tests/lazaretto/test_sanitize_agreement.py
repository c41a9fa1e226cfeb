"""Agreement of far rows: its formula against loops in float64, its level, and what it finds."""

from importlib import import_module

import numpy as np
import pytest
import torch
from scipy.stats import kstest, t

from lazaretto.sanitize import sanitize
from lazaretto.sanitize.agreement import COSINE, DEAD_BAND, FAR, LEAST, MOST, agreement, stand_out
from lazaretto.sanitize.inputs import check_inputs
from lazaretto.sanitize.layer_data import make_layer_data
from lazaretto.sanitize.methods.whitened_spectral import whitened_spectral
from lazaretto.sanitize.whitening import Whitening
from lazaretto.stats.conformal import conformal_p_values

agreement_module = import_module("lazaretto.sanitize.agreement")

N, M, D, CLASSES = 900, 600, 32, 6


def rows(seed, poison=0, reach=12.0, scattered=False):
    """Heavy-tailed classes; poisons of class 2 lie no further out than its furthest clean rows."""
    rng = np.random.default_rng(seed)
    train, clean = (
        rng.standard_normal((k * CLASSES, D)) * np.sqrt(5 / rng.chisquare(5, (k * CLASSES, 1)))
        for k in (N, M)
    )
    bad = 2 * N + np.arange(poison)
    ways = rng.standard_normal((poison, D)) if scattered else np.ones((poison, D))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    train[bad] = rng.standard_normal((poison, D)) + reach * ways
    labels, clean_labels = (np.repeat(np.arange(CLASSES), k) for k in (N, M))
    ids = [f"{i:05d}" for i in range(len(labels))]
    return train, labels, ids, (clean, clean_labels), bad


def layer_data_of(data, dtype=torch.float64):
    inputs = check_inputs(*data[:4])
    cpu = torch.device("cpu")
    return make_layer_data(inputs, "activations", device=cpu, dtype=dtype, seed=0)


def no_whitening(layer, dtype=torch.float64):
    groups = CLASSES * layer.folds
    basis = torch.eye(D, dtype=dtype).expand(groups, D, D)
    return Whitening(torch.zeros(groups, D).double(), basis, torch.ones(groups, dtype=torch.bool))


def measure(data, dtype=torch.float64):
    layer = layer_data_of(data, dtype)
    scores = tuple(
        (side.rows**2).sum(1).astype(np.float32) for side in (layer.train, layer.trusted)
    )
    witness = tuple(np.zeros_like(s) for s in scores)
    white = no_whitening(layer, dtype)
    return layer, scores, agreement(layer, range(CLASSES), white, scores, witness), witness


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_witness_is_what_loops_give(dtype):
    data = rows(0, poison=20)
    layer, scores, found, witness = measure(data, dtype)
    sides = layer.train, layer.trusted
    members = [np.flatnonzero(side.label == 2) for side in sides]
    pool = [(s, i) for s in (0, 1) for i in members[s]]
    pool.sort(key=lambda row: -scores[row[0]][row[1]])
    far = pool[: int(FAR * (N + M))]
    unit = {
        row: sides[row[0]].rows[row[1]] / np.linalg.norm(sides[row[0]].rows[row[1]]) for row in far
    }
    ratio = N / M
    expected, greatest = {}, -np.inf
    for a in far:
        total, noise, everyone = 0.0, 1.0, 0.0
        for b in far:
            agree = max(float(unit[a] @ unit[b]) - COSINE, 0.0) if a != b else 0.0
            weight = -ratio if b[0] else 1.0
            everyone += weight * agree
            if sides[a[0]].fold[a[1]] != sides[b[0]].fold[b[1]]:
                total += weight * agree
                noise += weight**2 * agree
        expected[a] = max(total / noise**0.5 - DEAD_BAND, 0.0)
        if a[0] == 0:
            greatest = max(greatest, everyone)
    for row, value in expected.items():
        assert witness[row[0]][row[1]] == pytest.approx(value, rel=1e-3, abs=1e-4)
    told = {(s, i) for s in (0, 1) for i in np.flatnonzero(witness[s]) if sides[s].label[i] == 2}
    assert told <= set(far)
    # The poisons' class is far beyond what shuffled sides give; the others are not.
    assert greatest > 0
    assert found[2] > 2 * max(abs(v) for c, v in found.items() if c != 2)


def test_shuffled_sides_are_the_null():
    """Where both sides are drawn alike, the statistic is about standard normal over data sets."""
    values = np.concatenate([list(measure(rows(seed))[2].values()) for seed in range(12)])
    assert abs(values.mean()) < 0.35
    assert 0.7 < values.std() < 1.5


def test_a_value_is_judged_by_the_others():
    values = np.array([0.1, -0.4, 0.3, 6.0, 0.2, np.nan, -0.1])
    p = stand_out(values)
    others = np.array([0.1, -0.4, 0.3, 0.2, -0.1])
    spread = others.std(ddof=1) * np.sqrt(1 + 1 / 5)
    assert p[3] == pytest.approx(t.sf((6.0 - others.mean()) / spread, 4))
    assert np.isnan(p[5])
    assert np.isnan(stand_out(values[:4])).all()
    null = np.random.default_rng(0).standard_normal((400, 8))
    assert kstest([stand_out(row)[0] for row in null], "uniform").pvalue > 0.001


def test_poisons_among_clean_rows_as_far_out_are_found_by_their_direction(monkeypatch):
    def outcomes():
        for seed in (3, 4, 7, 8):
            data = rows(seed, poison=12)
            result = sanitize(*data[:3], trusted=data[3])
            held = result.records["held"].to_numpy()
            assert held.mean() <= 0.01
            yield held[data[4]].mean(), result.classes.to_pylist()[2]

    recall, found = zip(*outcomes(), strict=True)
    monkeypatch.setattr(agreement_module, "LEAST", 10**9)
    blind_recall, blind = zip(*outcomes(), strict=True)
    assert np.mean(recall) > max(0.8, np.mean(blind_recall) + 0.05)
    assert all(a["p_value"] < b["p_value"] for a, b in zip(found, blind, strict=True))
    assert "share a direction" in found[0]["note"]


def test_rows_as_far_out_in_all_directions_are_not_called_one_way():
    data = rows(3, poison=12, scattered=True)
    row = sanitize(*data[:3], trusted=data[3]).classes.to_pylist()[2]
    assert "share a direction" not in (row["note"] or "")


def test_small_classes_and_wild_rows():
    data = rows(4, poison=20)
    data[0][-1] = 1e14
    found = measure(data, torch.float32)[2]
    assert set(found) == set(range(CLASSES))
    assert np.isfinite(list(found.values())).all()
    few = int(LEAST / FAR / 2) // 2
    keep = np.concatenate([np.arange(few) + N * c for c in range(CLASSES)])
    clean_keep = np.concatenate([np.arange(few) + M * c for c in range(CLASSES)])
    small = (data[0][keep], data[1][keep], [data[2][i] for i in keep])
    clean = (data[3][0][clean_keep], data[3][1][clean_keep])
    assert measure((*small, clean))[2] == {}


def test_no_more_rows_are_compared_than_memory_allows(monkeypatch):
    monkeypatch.setattr(agreement_module, "MOST", 50)
    layer, _, _, witness = measure(rows(5, poison=30))
    mine = layer.train.label == 2
    assert 0 < (witness[0][mine] > 0).sum() <= 50
    assert MOST >= LEAST


def test_rows_that_agree_by_chance_hardly_pass_the_rate_more_often():
    """Clean rows come in groups; whatever group chance gave to the training side agrees."""
    shares = {"train": [], "ranked_train": []}
    for seed in range(4):
        rng = np.random.default_rng(seed)
        middles = 1.2 * rng.standard_normal((CLASSES, 30, D))
        share = rng.dirichlet(np.full(30, 0.3), CLASSES)

        def draw(k, rng=rng, middles=middles, share=share):
            parts = [m[rng.choice(30, k, p=p)] for m, p in zip(middles, share, strict=True)]
            tails = np.sqrt(8 / rng.chisquare(8, (k * CLASSES, 1)))
            return np.concatenate(parts) + rng.standard_normal((k * CLASSES, D)) * tails

        labels, clean_labels = (np.repeat(np.arange(CLASSES), k) for k in (1000, 500))
        ids = [f"{i:05d}" for i in range(len(labels))]
        data = draw(1000), labels, ids, (draw(500), clean_labels)
        scores = whitened_spectral(layer_data_of(data, torch.float32))
        for name, found in shares.items():
            train = getattr(scores, name)
            trusted = getattr(scores, name.replace("train", "trusted"))
            for c in range(CLASSES):
                p = conformal_p_values([train[labels == c]], [trusted[clean_labels == c]])
                found.append((p <= 0.01).mean())
    assert np.mean(shares["ranked_train"]) <= 0.0125
    assert np.mean(shares["ranked_train"]) <= np.mean(shares["train"]) + 0.002
