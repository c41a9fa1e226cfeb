"""Nearest rows are the true ones, whichever way they are searched for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from tests.lazaretto.detection_data import classes

import lazaretto as lz
from lazaretto.detect import Chunk
from lazaretto.detect.nearest_backends import Search
from lazaretto.detect.nearest_device import DeviceSearch
from lazaretto.detect.neighbours import NeighbourIndex

if TYPE_CHECKING:
    from pathlib import Path

LISTS = Search(exact_up_to=500)
CLUSTERS = 60


def clustered(rows: int, seed: int) -> np.ndarray[Any, Any]:
    centers = np.random.default_rng(0).normal(size=(CLUSTERS, 24)) * 1.2
    rng = np.random.default_rng(seed)
    points = centers[rng.integers(CLUSTERS, size=rows)] + rng.normal(size=(rows, 24))
    return points.astype(np.float32)


def policy(**neighbours: object) -> lz.Policy:
    return lz.Policy.model_validate(
        {
            "version": 1,
            "dataset": "lists",
            "columns": {"record_id": "id", "label": "label", "embedding": "embedding"},
            "screen": {
                "neighbours": neighbours,
                "detectors": {name: {} for name in ("knn_label", "density", "duplicates")},
            },
        }
    )


def test_lists_find_nearly_all_true_neighbours() -> None:
    rows, probe = clustered(6000, 1), Chunk(clustered(500, 2))
    exact = NeighbourIndex(rows).search(probe, 10).row
    index = NeighbourIndex(rows, LISTS)
    assert index.learned
    found = index.search(probe, 10).row
    recall = (found[:, :, None] == exact[:, None]).any(1).mean()
    assert recall >= 0.95


def test_what_one_index_found_is_not_taken_for_anothers() -> None:
    """Even where a new index lies where an old one was in memory."""
    probe = Chunk(clustered(30, 2))
    for seed in range(5):
        rows = clustered(200, seed)
        assert np.array_equal(
            NeighbourIndex(rows).search(probe, 3).row,
            NeighbourIndex(rows).search(Chunk(probe.embedding), 3).row,
        )


def test_more_probes_find_more_and_all_probes_find_all() -> None:
    rows, probe = clustered(2000, 1), Chunk(clustered(200, 2))
    exact = NeighbourIndex(rows).search(probe, 10).distance
    beyond = []
    for probes in (1, 8, 100):
        index = NeighbourIndex(rows, Search(exact_up_to=1, lists=100, probes=probes))
        beyond.append(float((index.search(Chunk(probe.embedding), 10).distance - exact).mean()))
    assert beyond[0] > beyond[1] > beyond[2]
    assert beyond[2] == pytest.approx(0, abs=1e-5)


def test_lists_are_the_same_each_time_and_from_their_centroids() -> None:
    rows, probe = clustered(2000, 1), clustered(100, 2)
    first = NeighbourIndex(rows, LISTS)
    found = first.search(Chunk(probe), 5)
    for again in (
        NeighbourIndex(rows, LISTS),
        NeighbourIndex(rows, LISTS, learned=first.learned),
    ):
        other = again.search(Chunk(probe), 5)
        assert np.array_equal(other.row, found.row)
        assert np.array_equal(other.distance, found.distance)


def test_a_record_gets_from_lists_alone_what_it_gets_in_a_batch() -> None:
    index, probe = NeighbourIndex(clustered(2000, 1), LISTS), clustered(100, 2)
    whole = index.search(Chunk(probe), 5)
    for row in (0, 50, 99):
        alone = index.search(Chunk(probe[row : row + 1]), 5)
        assert np.array_equal(alone.row[0], whole.row[row])
        np.testing.assert_allclose(alone.distance[0], whole.distance[row])


def test_a_record_gets_the_same_digits_from_all_rows_alone_and_in_any_batch() -> None:
    """FAISS has several ways to compare, by the number of records; only one of them is used."""
    rng = np.random.default_rng(0)
    rows, probe = (rng.normal(size=(n, 200)).astype(np.float32) for n in (3000, 1500))
    index = NeighbourIndex(rows)
    whole = index.search(Chunk(probe), 20)
    for part in (slice(0, 1), slice(7, 27), slice(100, 400), slice(0, 1000)):
        found = index.search(Chunk(probe[part]), 20)
        assert np.array_equal(found.row, whole.row[part])
        np.testing.assert_allclose(found.distance, whole.distance[part], rtol=1e-6)


def test_lists_shorter_than_k_still_give_k_neighbours() -> None:
    rows = clustered(600, 1)
    index = NeighbourIndex(rows, Search(exact_up_to=1, lists=300, probes=1))
    found = index.search(Chunk(clustered(50, 2)), 40)
    assert (found.row >= 0).all()
    assert np.isfinite(found.distance).all()
    assert (np.diff(found.distance, axis=1) >= 0).all()


def test_the_search_on_a_device_agrees_with_faiss() -> None:
    """On the CPU; the same lines run on a CUDA device."""
    rows, probe = clustered(3000, 1), clustered(300, 2)
    squared, row = DeviceSearch(rows, "cpu").search(probe, 7)
    distance = cdist(probe.astype(np.float64), rows.astype(np.float64))
    nearest = distance.argsort(1)[:, :7]
    expected = np.take_along_axis(distance, nearest, axis=1)
    assert np.array_equal(row, nearest)
    np.testing.assert_allclose(np.sqrt(squared), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_device_finds_what_the_cpu_finds() -> None:
    rows, probe = clustered(3000, 1), Chunk(clustered(300, 2))
    there = NeighbourIndex(rows, device="cuda").search(Chunk(probe.embedding), 7)
    assert np.array_equal(there.row, NeighbourIndex(rows).search(probe, 7).row)


def test_a_saved_reference_with_lists_scores_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)

    def table(rows: int) -> object:
        import pyarrow as pa

        points, labels = classes(rng, rows)
        listed = pa.FixedSizeListArray.from_arrays(pa.array(points.ravel()), points.shape[1])
        return pa.table({"id": np.arange(rows), "label": labels, "embedding": listed})

    trusted, batch = table(900), table(200)
    chosen = policy(exact_up_to=100, lists=20, probes=2)
    reference = lz.Reference.fit(trusted, chosen)
    assert reference.scorers[0].split.index.learned
    loaded = lz.Reference.load(reference.save(tmp_path))
    before, after = (lz.screen(batch, known, chosen).records for known in (reference, loaded))
    assert before.equals(after)
    exact = lz.screen(batch, lz.Reference.fit(trusted, policy()), policy()).records
    assert not before["score"].equals(exact["score"]), "the lists were not used"
    assert loaded.scorers[0].split.index.settings == Search(100, 20, 2)


def test_settings_out_of_range_name_the_key() -> None:
    with pytest.raises(ValueError, match="probes"):
        policy(probes=0)
