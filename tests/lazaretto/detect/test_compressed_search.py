"""A compressed search: true distances, the same for a record alone, and p-values stay exact."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from tests.lazaretto.detection_data import classes, policy, table

import lazaretto as lz
from lazaretto.detect import Chunk, Split
from lazaretto.detect.knn_distance import KnnDistance
from lazaretto.detect.knn_label import KnnLabel
from lazaretto.detect.nearest_backends import Search
from lazaretto.detect.nearest_choice import MOST_LOSS, choose
from lazaretto.detect.nearest_compressed import Compressed
from lazaretto.detect.neighbours import NeighbourIndex, NeighbourSubset
from lazaretto.errors import ReferenceMismatchError
from lazaretto.reference import _file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Array = np.ndarray[Any, Any]
SMALL = Search(compressed=Compressed(dimensions=8, lists=16, probes=6, candidates=2.0))
NAMES = tuple("abcd")


def points(rows: int, seed: int, width: int = 24) -> tuple[Array, Array]:
    return classes(np.random.default_rng(seed), rows, width=width, gap=0.8)


@pytest.fixture
def index() -> NeighbourIndex:
    return NeighbourIndex(points(2000, 1)[0], SMALL)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    yield
    faiss.omp_set_num_threads(before)


def test_a_record_gets_alone_and_anywhere_what_it_gets_in_a_batch(index: NeighbourIndex) -> None:
    probe = points(700, 2)[0]
    whole = index.search(Chunk(probe), 20)
    for rows in (slice(0, 1), slice(699, 700), slice(100, 400), slice(511, 513)):
        part = index.search(Chunk(probe[rows]), 20)
        assert np.array_equal(part.row, whole.row[rows])
        assert np.array_equal(part.distance, whole.distance[rows])


def test_who_asks_for_fewer_gets_the_first_of_the_same(index: NeighbourIndex) -> None:
    probe = points(50, 2)[0]
    many = index.search(Chunk(probe), 20)
    assert np.array_equal(index.search(Chunk(probe), 3).row, many.row[:, :3])


def test_distances_are_true_and_nearly_all_neighbours_are_found(index: NeighbourIndex) -> None:
    rows, probe = points(2000, 1)[0], points(300, 2)[0]
    found = index.search(Chunk(probe), 10)
    true = cdist(probe.astype(np.float64), rows.astype(np.float64))
    np.testing.assert_allclose(
        found.distance, np.take_along_axis(true, found.row, 1), rtol=1e-4, atol=1e-4
    )
    exact = true.argsort(1)[:, :10]
    assert (found.row[:, :, None] == exact[:, None]).any(1).mean() > 0.5


def test_two_threads_find_what_one_finds(index: NeighbourIndex, two_threads: None) -> None:
    probe = points(600, 2)[0]
    here = index.search(Chunk(probe), 20)
    faiss.omp_set_num_threads(1)
    alone = index.search(Chunk(probe), 20)
    np.testing.assert_allclose(here.distance, alone.distance, rtol=1e-5)
    assert (here.row == alone.row).mean() > 0.999


def test_lists_with_fewer_rows_than_asked_for_are_made_up_from_all() -> None:
    rows = points(300, 1)[0]
    few = Search(compressed=Compressed(dimensions=8, lists=100, probes=1, candidates=1.0))
    found = NeighbourIndex(rows, few).search(Chunk(points(20, 2)[0]), 20)
    assert (found.row >= 0).all()
    assert np.isfinite(found.distance).all()
    assert all(len(set(row)) == 20 for row in found.row.tolist())


def test_more_columns_than_rows_few_columns_and_equal_rows_are_searched() -> None:
    for rows in (
        points(60, 1, width=100)[0],
        points(300, 1, width=3)[0],
        np.ones((200, 5), dtype=np.float32),
    ):
        size = min(64, rows.shape[1] + rows.shape[1] % 2)
        settings = Search(compressed=Compressed(size, lists=4, probes=2, candidates=1.5))
        found = NeighbourIndex(rows, settings).search(Chunk(rows[:30]), 5)
        assert (found.row >= 0).all()
        assert found.distance[:, 0] == pytest.approx(0, abs=1e-3)


def test_p_values_stay_uniform_whatever_the_search_misses() -> None:
    """Calibration rows and records share the score, so under exchangeability p is uniform."""
    poor = Search(compressed=Compressed(dimensions=2, lists=16, probes=2, candidates=1.0))
    levels = np.array([0.01, 0.05, 0.2, 0.5])
    shares = []
    for seed in range(24):
        rows, label = points(3000, seed + 10)
        known, rest = Chunk(rows[:1200], label[:1200]), Chunk(rows[1200:], label[1200:])
        split = Split(known, NAMES, (), NeighbourIndex(known.embedding, poor))
        by_label = KnnLabel().fit(split).score(rest)
        score = by_label + 0.1 * KnnDistance().fit(split).score(rest)
        calibration, batch = np.sort(score[:900]), score[900:]
        p_value = (1 + len(calibration) - np.searchsorted(calibration, batch)) / 901
        shares.append((p_value[:, None] <= levels).mean(0))
    spread = np.sqrt(levels * (1 - levels) * 2 / 900 / 24)
    np.testing.assert_array_less(np.abs(np.mean(shares, 0) - levels), 4 * spread + 1 / 901)


def test_what_is_chosen_loses_next_to_nothing_on_rows_never_tried() -> None:
    rows, label = points(9000, 3)
    known, held_out = Chunk(rows[:6000], label[:6000]), Chunk(rows[6000:7000], label[6000:7000])
    choice = choose(known, NAMES, held_out, Search())
    assert choice.search.compressed is not None
    assert choice.search.loss is not None
    assert 0 <= choice.search.loss <= MOST_LOSS
    fresh, own = rows[7000:], label[7000:]
    other = (own + np.random.default_rng(0).integers(1, 4, len(own))) % 4
    aurocs = []
    for index in (
        NeighbourIndex(known.embedding),
        NeighbourIndex(known.embedding, choice.search, learned=choice.learned),
    ):
        detector = KnnLabel().fit(Split(known, NAMES, (), index))
        low, high = (detector.score(Chunk(fresh, given)) for given in (own, other))
        aurocs.append((high[:, None] > low).mean())
    assert aurocs[1] > aurocs[0] - 0.005


def test_of_more_rows_than_densities_can_be_tried_on_the_search_is_exact() -> None:
    rows = np.random.default_rng(0).standard_normal((60_001, 2), dtype=np.float32)
    search = choose(Chunk(rows), (), Chunk(rows[:50]), Search(), density=True).search
    assert search == Search()


def test_where_compression_loses_too_much_the_search_is_exact() -> None:
    """Here only all 600 columns together tell one of 400 classes from another."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(400, 600)).astype(np.float32)
    label = rng.integers(400, size=4500)
    rows = centers[label] + 3 * rng.standard_normal((4500, 600), dtype=np.float32)
    known, held_out = Chunk(rows[:4200], label[:4200]), Chunk(rows[4200:], label[4200:])
    choice = choose(known, tuple(map(str, range(400))), held_out, Search())
    assert choice.search.compressed is None
    assert choice.learned == {}
    assert choice.search.loss is not None
    assert choice.search.loss > MOST_LOSS
    assert "exact: every row" in choice.search.words(4200, 600)


@pytest.fixture(scope="module")
def trusted() -> Any:
    rows, label = points(10_500, 5, width=12)
    return table(rows, label)


def test_a_saved_reference_searches_and_scores_the_same(trusted: Any, tmp_path: Path) -> None:
    chosen = policy(detectors={"knn_label": {}, "density": {}})
    reference = lz.Reference.fit(trusted, chosen)
    index = reference.scorers[0].split.index
    assert set(index.learned) == {"rotation", "centroids", "codebook"}
    assert reference.describe()["neighbours"].startswith("compressed: ")
    loaded = lz.Reference.load(reference.save(tmp_path))
    assert loaded.digest == reference.digest
    assert loaded.scorers[0].split.index.settings == index.settings
    batch = table(*points(700, 6, width=12))
    before, after = (lz.screen(batch, known, chosen).records for known in (reference, loaded))
    assert before.equals(after)
    exact = policy(detectors={"knn_label": {}}, neighbours={"search": "exact"})
    assert lz.Reference.fit(trusted, exact).describe()["neighbours"] == "exact: every row"


def test_settings_and_tensors_of_a_hostile_file_are_refused(trusted: Any) -> None:
    reference = lz.Reference.fit(trusted, policy(detectors={"knn_label": {}}))
    index = reference.scorers[0].split.index
    assert index.settings.compressed is not None
    good = index.settings, dict(index.learned)
    bad: list[tuple[Search, dict[str, Array]]] = [
        (good[0], {key: value for key, value in good[1].items() if key != "codebook"}),
        (good[0], good[1] | {"codebook": good[1]["codebook"][:, :8]}),
        (good[0], good[1] | {"centroids": good[1]["centroids"].astype(np.float64)}),
        (good[0], good[1] | {"rotation": np.full_like(good[1]["rotation"], np.nan)}),
        (replace(good[0], compressed=replace(good[0].compressed, lists=10**9)), good[1]),
    ]
    for settings, learned in bad:
        index.settings, index.learned = settings, learned
        state = replace(reference, digest="")
        signed = replace(state, digest=_file.content_digest(state))
        packed = _file.pack(signed)
        with pytest.raises(ReferenceMismatchError, match="cannot be read"):
            _file.unpack(_file.describe(signed, packed), packed)


@pytest.mark.parametrize(
    "change",
    [{"dimensions": 7}, {"probes": 17}, {"lists": 0}, {"candidates": 1e9}, {"probes": 1.5}],
)
def test_numbers_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="compressed search"):
        Search.of({**asdict(SMALL), "compressed": {**asdict(SMALL)["compressed"], **change}})


def test_a_subset_finds_what_an_index_of_its_own_finds() -> None:
    sample, probe = points(900, 1)[0], points(100, 2)[0]
    whole = NeighbourIndex(sample)
    shared = Chunk(probe)
    for rows in (
        np.arange(0, 900, 2),
        np.arange(450),
        np.flatnonzero(sample[:, 0] > np.quantile(sample[:, 0], 0.95)),
        np.arange(3),
    ):
        own, subset = NeighbourIndex(sample[rows]), NeighbourSubset(whole, rows)
        for found, expected in (
            (subset.search(shared, 20), own.search(Chunk(probe), 20)),
            (subset.among_itself(10), own.among_itself(10)),
        ):
            assert np.array_equal(found.row, expected.row)
            np.testing.assert_allclose(found.distance, expected.distance, rtol=1e-3, atol=1e-3)
