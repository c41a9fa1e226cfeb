from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist
from tests.lazaretto.detection_data import classes

from lazaretto.detect import Chunk, Split
from lazaretto.detect.knn_label import KnnLabel
from lazaretto.detect.neighbours import NeighbourIndex


def split(rows: int = 300) -> Split:
    points, labels = classes(np.random.default_rng(0), rows)
    chunk = Chunk(points, labels)
    return Split(chunk, ("a", "b", "c", "d"), (), NeighbourIndex(chunk.embedding))


def test_neighbours_are_those_of_brute_force() -> None:
    reference = split()
    points, _ = classes(np.random.default_rng(1), 40)
    found = reference.index.search(Chunk(points), 7)
    distances = cdist(points.astype(np.float64), reference.rows.embedding.astype(np.float64))
    row = distances.argsort(1)[:, :7]
    value = np.take_along_axis(distances, row, axis=1)
    assert np.array_equal(found.row, row)
    np.testing.assert_allclose(found.distance.astype(np.float64), value, rtol=1e-3, atol=1e-3)


def test_a_second_detector_with_smaller_k_reuses_the_search() -> None:
    reference = split()
    chunk = Chunk(reference.rows.embedding[:5])
    many = reference.index.search(chunk, 10)
    assert np.array_equal(reference.index.search(chunk, 3).row, many.row[:, :3])
    assert len(chunk.memo) == 1


def test_neighbours_among_itself_leave_the_row_out_even_among_copies() -> None:
    rows = np.ones((6, 3), np.float32)
    rows[5] = 2
    index = NeighbourIndex(rows)
    found = index.among_itself(3)
    assert found.row.shape == (6, 3)
    assert not (found.row == np.arange(6)[:, None]).any()


def test_flipped_labels_score_above_true_ones() -> None:
    reference = split()
    detector = KnnLabel(k=10).fit(reference)
    points, labels = classes(np.random.default_rng(2), 100)
    true = detector.score(Chunk(points, labels))
    wrong = detector.score(Chunk(points, (labels + 1) % 4))
    assert (wrong > true).mean() > 0.97
    assert ((true >= 0) & (true <= 1)).all()


def test_a_rare_class_is_not_outvoted() -> None:
    rng = np.random.default_rng(3)
    points = rng.normal(size=(200, 2)).astype(np.float32)
    labels = np.zeros(200, dtype=np.int64)
    labels[:4] = 1
    points[:4] = points[:4] * 0.1 + 1
    chunk = Chunk(points, labels)
    reference = Split(chunk, ("common", "rare"), (), NeighbourIndex(chunk.embedding))
    probe = Chunk(np.float32([[1.0, 1.0]]), np.array([1]))
    assert KnnLabel(k=20).fit(reference).score(probe)[0] < 0.5


def test_k_larger_than_the_reference_uses_all_of_it() -> None:
    reference = split(30)
    scores = KnnLabel(k=500).fit(reference).score(reference.rows)
    assert np.isfinite(scores).all()


def test_a_rare_class_is_outvoted_unless_neighbours_count_by_their_class() -> None:
    points = np.zeros((20, 2), np.float32)
    points[:, 0] = np.linspace(0.9, 1.1, 20)
    label = np.zeros(20, dtype=np.int64)
    label[:4] = 1
    reference = Split(Chunk(points, label), ("common", "rare"), (), NeighbourIndex(points))
    record = Chunk(np.float32([[1.0, 0.0]]), np.array([1]))
    plain = KnnLabel(k=20, balanced=False).fit(reference).score(record)
    balanced = KnnLabel(k=20).fit(reference).score(record)
    assert plain[0] > 0.75  # 4 of 20 neighbours carry its label
    assert balanced[0] < 0.6
