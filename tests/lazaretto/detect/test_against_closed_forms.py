"""Single detectors against scikit-learn, closed forms and the weaker thing that they must beat."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest as SklearnForest
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from tests.lazaretto.detection_data import classes

from lazaretto.detect import Chunk, Split, make_detector
from lazaretto.detect.neighbours import NeighbourIndex


def split(
    points: np.ndarray, labels: np.ndarray | None = None, values: np.ndarray | None = None
) -> Split:
    chunk = Chunk(
        points.astype(np.float32),
        None if labels is None else labels,
        None if values is None else values.astype(np.float32),
    )
    columns = () if values is None else tuple("abcdef"[: values.shape[1]])
    return Split(chunk, ("a", "b", "c", "d"), columns, NeighbourIndex(chunk.embedding))


def test_isolation_forest_scores_as_scikit_learns() -> None:
    points, _ = classes(np.random.default_rng(0), 400)
    probe, _ = classes(np.random.default_rng(1), 100)
    probe[:10] *= 4
    reference = split(points)
    ours = make_detector("isolation_forest", {"trees": 50}).fit(reference)
    theirs = SklearnForest(n_estimators=50, max_samples=256, random_state=0).fit(
        reference.rows.embedding
    )
    np.testing.assert_allclose(ours.score(Chunk(probe)), -theirs.score_samples(probe), atol=1e-5)


def test_knn_distance_is_the_mean_of_brute_force() -> None:
    points, _ = classes(np.random.default_rng(2), 200)
    probe, _ = classes(np.random.default_rng(3), 30)
    expected = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(points).kneighbors(probe)[0]
    got = make_detector("knn_distance", {"k": 5}).fit(split(points)).score(Chunk(probe))
    np.testing.assert_allclose(got, expected.mean(1), rtol=1e-3)


def test_zscore_and_tukey_are_the_textbook_ones() -> None:
    values = np.random.default_rng(4).normal(5, 2, size=(500, 2))
    probe = Chunk(np.zeros((2, 1), np.float32), None, np.float32([[5.0, 11.0], [np.nan, 5.0]]))
    reference = split(np.ones((500, 1)), values=values)
    z = make_detector("zscore").fit(reference).score(probe)
    expected = np.abs((np.array([5.0, 11.0]) - values.mean(0)) / values.std(0)).max()
    assert float(z[0]) == pytest.approx(expected, rel=1e-5)
    tukey = make_detector("tukey").fit(reference).score(probe)
    low, high = np.quantile(values[:, 1], [0.25, 0.75])
    assert float(tukey[0]) == pytest.approx((11 - high) / (high - low), rel=1e-4)
    assert float(z[1]) > 5, "a null where trusted records never have one is news"


def test_density_is_the_local_outlier_factor() -> None:
    points, _ = classes(np.random.default_rng(5), 500)
    probe, _ = classes(np.random.default_rng(6), 50)
    probe[:10] *= 3
    theirs = LocalOutlierFactor(n_neighbors=10, novelty=True).fit(points)
    ours = make_detector("density", {"k": 10}).fit(split(points))
    isolated = ours.score(Chunk(probe))[:, 0]
    np.testing.assert_allclose(np.exp(isolated), -theirs.score_samples(probe), rtol=1e-3)


def test_density_sees_both_directions() -> None:
    points, _ = classes(np.random.default_rng(5), 500)
    detector = make_detector("density").fit(split(points))
    isolated, dense = detector.score(Chunk(np.stack([points[0] + 8, points[0] + 1e-2]))).T
    assert isolated[0] > 1
    assert dense[0] < 0
    assert dense[1] > 3


@pytest.mark.parametrize("far", [0.0, 300.0])
def test_a_copy_of_a_trusted_row_is_no_outlier_of_place(far: float) -> None:
    """Also where the row itself lies apart, and where distances by products have lost digits."""
    points, _ = classes(np.random.default_rng(5), 500)
    points[7] += 9
    points += far
    detector = make_detector("density").fit(split(points))
    copies = detector.score(Chunk(points + np.float32(1e-6)))
    assert copies.max() == 0
    assert "the same as a trusted record" in set(detector.explain(Chunk(points[:9])))
    near = points[:50] + np.random.default_rng(6).normal(scale=0.02, size=points[:50].shape)
    isolated, dense = detector.score(Chunk(near.astype(np.float32))).T
    assert isolated[7] > 1
    assert np.median(dense) > 2


def test_duplicates_with_another_label_are_contradictions() -> None:
    points, labels = classes(np.random.default_rng(6), 300)
    reference = split(points, labels)
    chunk = Chunk(
        points[[0, 0]],
        np.array([labels[0], (labels[0] + 1) % 4]),
    )
    detector = make_detector("duplicates").fit(reference)
    copy, contradiction = detector.score(chunk).T
    assert (copy > 5).all()
    assert contradiction[0] < 2 < contradiction[1]
    assert "labelled" in detector.explain(chunk)[1]


def test_clusters_see_distance_thin_clusters_and_foreign_labels() -> None:
    rng = np.random.default_rng(7)
    points = np.concatenate([rng.normal(0, 1, (190, 4)), rng.normal(12, 1, (10, 4))])
    labels = (np.arange(200) >= 190).astype(np.int64)
    detector = make_detector("clusters", {"clusters": 2}).fit(split(points, labels))
    probe = np.float32([[0.0] * 4, [12.0] * 4, [60.0] * 4, [0.0] * 4])
    score = detector.score(Chunk(probe, np.array([0, 1, 1, 1])))
    assert score[2, 0] > 5 * score[0, 0]
    assert score[1, 1] > score[0, 1] + 2
    assert score[3, 2] > score[0, 2] + 3


@pytest.mark.parametrize("method", ["kmeans", "hdbscan"])
def test_both_ways_of_clustering_find_the_groups(method: str) -> None:
    rng = np.random.default_rng(8)
    points = np.concatenate([rng.normal(c, 0.3, (60, 3)) for c in (0, 5, 10)])
    detector = make_detector("clusters", {"method": method, "clusters": 3}).fit(split(points))
    score = detector.score(Chunk(np.float32([[0.0] * 3, [2.5] * 3])))[:, 0]
    assert score[1] > 4 * score[0]


def test_the_autoencoder_beats_its_untrained_self_and_the_principal_axes() -> None:
    """A curved sheet: straight axes need more dimensions than the bottleneck has."""
    rng = np.random.default_rng(9)

    def sheet(rows: int) -> np.ndarray:
        t = rng.uniform(-3, 3, size=(rows, 1))
        curve = np.concatenate([t, np.sin(2 * t), np.cos(2 * t), t**2 / 3, np.sin(t)], 1)
        return curve + rng.normal(0, 0.05, curve.shape)

    fitting, clean = sheet(2000), sheet(400)
    off = clean[rng.permutation(400)][:, :]
    off[:, 1] = clean[:, 1]  # every coordinate is ordinary, their combination is not

    def auroc(score: np.ndarray) -> float:
        good, bad = score[:400], score[400:]
        return float((bad[:, None] > good[None]).mean())

    probe = Chunk(np.concatenate([clean, off]).astype(np.float32))
    options = {"bottleneck": 2, "learning_rate": 5e-3}
    trained = make_detector("autoencoder", options).fit(split(fitting)).score(probe)
    untrained = (
        make_detector("autoencoder", options | {"epochs": 0}).fit(split(fitting)).score(probe)
    )
    axes = PCA(2).fit(fitting)
    projected = axes.inverse_transform(axes.transform(probe.embedding))
    residual = ((probe.embedding - projected) ** 2).mean(1)
    assert auroc(untrained) == pytest.approx(auroc(residual), abs=0.01)
    assert auroc(trained) > auroc(residual) + 0.1


def test_the_probe_doubts_flipped_labels() -> None:
    points, labels = classes(np.random.default_rng(10), 600, gap=1.5)
    detector = make_detector("self_confidence").fit(split(points, labels))
    probe, given = classes(np.random.default_rng(11), 300, gap=1.5)
    true = detector.score(Chunk(probe, given))
    wrong = detector.score(Chunk(probe, (given + 1) % 4))
    assert (wrong > true).mean() > 0.95
