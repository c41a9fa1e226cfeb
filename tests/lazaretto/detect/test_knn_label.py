from __future__ import annotations

import numpy as np
import torch
from tests.lazaretto.detection_data import classes

from lazaretto.detect import Chunk, Split
from lazaretto.detect.knn_label import KnnLabel
from lazaretto.detect.neighbours import NeighbourIndex


def split(rows: int = 300) -> Split:
    points, labels = classes(np.random.default_rng(0), rows)
    chunk = Chunk(torch.from_numpy(points), torch.from_numpy(labels))
    return Split(chunk, ("a", "b", "c", "d"), (), NeighbourIndex(chunk.embedding))


def test_neighbours_are_those_of_brute_force() -> None:
    reference = split()
    points, _ = classes(np.random.default_rng(1), 40)
    found = reference.index.search(Chunk(torch.from_numpy(points)), 7)
    distances = torch.cdist(torch.from_numpy(points).double(), reference.rows.embedding.double())
    value, row = distances.topk(7, largest=False)
    assert torch.equal(found.row, row)
    torch.testing.assert_close(found.distance.double(), value, rtol=1e-3, atol=1e-3)


def test_a_second_detector_with_smaller_k_reuses_the_search() -> None:
    reference = split()
    chunk = Chunk(reference.rows.embedding[:5])
    many = reference.index.search(chunk, 10)
    assert torch.equal(reference.index.search(chunk, 3).row, many.row[:, :3])
    assert len(chunk.memo) == 1


def test_neighbours_among_itself_leave_the_row_out_even_among_copies() -> None:
    rows = torch.ones(6, 3)
    rows[5] = 2
    index = NeighbourIndex(rows)
    found = index.among_itself(3)
    assert found.row.shape == (6, 3)
    assert not (found.row == torch.arange(6).unsqueeze(1)).any()


def test_flipped_labels_score_above_true_ones() -> None:
    reference = split()
    detector = KnnLabel(k=10).fit(reference)
    points, labels = classes(np.random.default_rng(2), 100)
    true = detector.score(Chunk(torch.from_numpy(points), torch.from_numpy(labels)))
    wrong = detector.score(Chunk(torch.from_numpy(points), torch.from_numpy((labels + 1) % 4)))
    assert (wrong > true).float().mean() > 0.97
    assert ((true >= 0) & (true <= 1)).all()


def test_a_rare_class_is_not_outvoted() -> None:
    rng = np.random.default_rng(3)
    points = rng.normal(size=(200, 2)).astype(np.float32)
    labels = np.zeros(200, dtype=np.int64)
    labels[:4] = 1
    points[:4] = points[:4] * 0.1 + 1
    chunk = Chunk(torch.from_numpy(points), torch.from_numpy(labels))
    reference = Split(chunk, ("common", "rare"), (), NeighbourIndex(chunk.embedding))
    probe = Chunk(torch.tensor([[1.0, 1.0]]), torch.tensor([1]))
    assert float(KnnLabel(k=20).fit(reference).score(probe)) < 0.5


def test_k_larger_than_the_reference_uses_all_of_it() -> None:
    reference = split(30)
    scores = KnnLabel(k=500).fit(reference).score(reference.rows)
    assert scores.isfinite().all()


def test_a_rare_class_is_outvoted_unless_neighbours_count_by_their_class() -> None:
    points = torch.zeros(20, 2)
    points[:, 0] = torch.linspace(0.9, 1.1, 20)
    label = torch.zeros(20, dtype=torch.int64)
    label[:4] = 1
    reference = Split(Chunk(points, label), ("common", "rare"), (), NeighbourIndex(points))
    record = Chunk(torch.tensor([[1.0, 0.0]]), torch.tensor([1]))
    plain = KnnLabel(k=20, balanced=False).fit(reference).score(record)
    balanced = KnnLabel(k=20).fit(reference).score(record)
    assert float(plain) > 0.75  # 4 of 20 neighbours carry its label
    assert float(balanced) < 0.6
