from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf, ledoit_wolf_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from tests.lazaretto.detection_data import classes

from lazaretto.detect import Chunk, Split
from lazaretto.detect.covariance import ledoit_wolf, whitening
from lazaretto.detect.mahalanobis import Mahalanobis
from lazaretto.detect.neighbours import NeighbourIndex


def split(rows: int = 400, width: int = 6) -> Split:
    points, labels = classes(np.random.default_rng(0), rows, width=width)
    chunk = Chunk(points, labels)
    return Split(chunk, ("a", "b", "c", "d"), (), NeighbourIndex(chunk.embedding))


def test_ledoit_wolf_is_scikit_learns() -> None:
    rows = np.random.default_rng(1).normal(size=(80, 12)) @ np.diag(np.linspace(0.1, 3, 12))
    rows -= rows.mean(0)
    ours = ledoit_wolf(rows, block=17)
    np.testing.assert_allclose(ours, LedoitWolf(assume_centered=True).fit(rows).covariance_)
    assert 0 < ledoit_wolf_shrinkage(rows, assume_centered=True) < 1


def test_whitening_keeps_directions_without_variance_suspicious() -> None:
    covariance = np.diag([1.0, 1.0, 0.0])
    map_, _ = whitening(covariance)
    step = np.array([0.0, 0.0, 0.01])
    assert float(np.square(map_ @ step).sum()) > 1e4


def test_own_relative_and_margin_are_the_textbook_distances() -> None:
    reference = split()
    detector = Mahalanobis("tied").fit(reference)
    x, y = reference.rows.embedding.astype(np.float64), reference.rows.label
    assert y is not None
    means = np.stack([x[y == c].mean(0) for c in range(4)])
    within = LedoitWolf(assume_centered=True).fit(x - means[y]).covariance_
    share = np.bincount(y) / len(y)
    center = x.mean(0)
    total = within + (share * (means - center).T) @ (means - center)

    def squared(rows: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        return np.einsum("ij,ij->i", rows @ np.linalg.inv(covariance), rows)

    to_class = np.stack([squared(x - mean, within) for mean in means], 1)
    own = to_class[np.arange(len(x)), y]
    others = to_class.copy()
    others[np.arange(len(x)), y] = np.inf
    expected = np.stack([own, own - squared(x - center, total), own - others.min(1)], 1)
    np.testing.assert_allclose(detector.score(reference.rows), expected, rtol=1e-4, atol=1e-4)


def test_margin_orders_like_linear_discriminant_analysis() -> None:
    reference = split()
    detector = Mahalanobis("tied").fit(reference)
    x, y = reference.rows.embedding, reference.rows.label
    assert y is not None
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=[0.25] * 4)
    agree = lda.fit(x, y).predict(x) == y
    margin = detector.score(reference.rows)[:, 2]
    assert ((margin <= 0) == agree).mean() > 0.995


def test_classes_with_enough_rows_get_their_own_covariance() -> None:
    rng = np.random.default_rng(3)
    narrow = rng.normal(0, 0.1, size=(300, 3))
    wide = rng.normal(0, 3.0, size=(300, 3)) + 10
    chunk = Chunk(
        np.concatenate([narrow, wide]).astype(np.float32),
        np.arange(600) // 300,
    )
    reference = Split(chunk, ("narrow", "wide"), (), NeighbourIndex(chunk.embedding))
    probe = Chunk(np.float32([[1.0, 1.0, 1.0]]), np.array([0]))
    own = Mahalanobis("auto").fit(reference).score(probe)[0, 0]
    tied = Mahalanobis("tied").fit(reference).score(probe)[0, 0]
    assert own > 50 * tied


def test_a_class_of_one_row_and_more_dimensions_than_rows() -> None:
    points, labels = classes(np.random.default_rng(4), 30, width=64)
    labels[:] = 0
    labels[0] = 1
    chunk = Chunk(points, labels)
    reference = Split(chunk, ("many", "one", "none"), (), NeighbourIndex(chunk.embedding))
    detector = Mahalanobis().fit(reference)
    scores = detector.score(chunk)
    assert np.isfinite(scores).all()
    assert len(detector.explain(chunk)) == 30


def test_state_restores_the_same_scores() -> None:
    reference = split()
    fitted = Mahalanobis().fit(reference)
    again = Mahalanobis().restore(fitted.state(), reference)
    assert np.array_equal(again.score(reference.rows), fitted.score(reference.rows))


@pytest.mark.parametrize("bad", ["full", None, 3])
def test_unknown_covariance_is_the_callers_mistake(bad: object) -> None:
    with pytest.raises(Exception, match="must be 'auto', 'tied' or 'class'"):
        Mahalanobis(bad)  # type: ignore[arg-type]
