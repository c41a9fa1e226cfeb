"""What every registered detector promises, on hostile references and records."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from many import examples
from tests.lazaretto.detection_data import classes

from lazaretto.detect import Chunk, Split, detector_names, make_detector
from lazaretto.detect.neighbours import NeighbourIndex
from lazaretto.detect.scorer import as_views, take
from lazaretto.errors import UsageError

QUICK: dict[str, dict[str, object]] = {
    "autoencoder": {"epochs": 5},
    "knn_target": {"column": "c0"},
    "isolation_forest": {"trees": 10},
}
NAMES = detector_names()
CLASSES = ("a", "b", "c", "d")


def split(chunk: Chunk, seed: int = 0) -> Split:
    columns = () if chunk.values is None else tuple(f"c{i}" for i in range(chunk.values.shape[1]))
    return Split(chunk, CLASSES, columns, NeighbourIndex(chunk.embedding), seed)


def ordinary(rows: int, seed: int = 0, width: int = 8) -> Chunk:
    rng = np.random.default_rng(seed)
    points, labels = classes(rng, rows, width=width)
    values = rng.normal(size=(rows, 3)).astype(np.float32)
    return Chunk(points, labels, values)


def far(chunk: Chunk) -> Chunk:
    """The same rows, far away in everything."""
    assert chunk.values is not None
    return Chunk(chunk.embedding * 30 + 100, chunk.label, chunk.values + 50)


def flipped(chunk: Chunk) -> Chunk:
    """The same rows with the next label."""
    assert chunk.label is not None
    return Chunk(chunk.embedding, (chunk.label + 1) % 4, chunk.values)


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_those_of_the_record_alone(name: str) -> None:
    detector = make_detector(name, QUICK.get(name)).fit(split(ordinary(150)))
    chunk = ordinary(40, seed=1)
    whole = as_views(detector.score(chunk))
    assert whole.shape[0] == 40
    for row in (0, 7, 39):
        alone = as_views(detector.score(take(chunk, np.array([row]))))
        np.testing.assert_allclose(alone[0], whole[row], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_restored_detector_scores_the_same(name: str) -> None:
    reference = split(ordinary(150))
    fitted = make_detector(name, QUICK.get(name)).fit(reference)
    again = make_detector(name, QUICK.get(name)).restore(
        {key: value.copy() for key, value in fitted.state().items()}, reference
    )
    chunk = ordinary(30, seed=2)
    assert np.array_equal(again.score(chunk), fitted.score(chunk))
    assert again.explain(chunk) == fitted.explain(chunk)


@pytest.mark.parametrize("name", NAMES)
def test_fitting_twice_gives_the_same_detector(name: str) -> None:
    chunk = ordinary(40, seed=3)
    first, second = (
        make_detector(name, QUICK.get(name)).fit(split(ordinary(150))).score(chunk)
        for _ in range(2)
    )
    assert np.array_equal(first, second)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "duplicates"])
def test_every_detector_sees_what_is_far_off_or_flipped(name: str) -> None:
    detector = make_detector(name, QUICK.get(name)).fit(split(ordinary(300)))
    chunk = ordinary(60, seed=4)
    plain = as_views(detector.score(chunk))
    seen = [(as_views(detector.score(f(chunk))) > plain).mean(0) for f in (far, flipped)]
    assert float(np.stack(seen).max()) > 0.9, seen


@pytest.mark.parametrize("name", NAMES)
@given(
    rows=st.integers(2, 30),
    width=st.sampled_from([1, 2, 40]),
    kind=st.sampled_from(["constant", "copies", "one_row_classes", "huge", "tiny", "nulls"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=examples(12), deadline=None, suppress_health_check=list(HealthCheck))
def test_hostile_references_and_records_give_finite_scores(
    name: str, rows: int, width: int, kind: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(rows, width)).astype(np.float32)
    labels = rng.integers(4, size=rows)
    values = rng.normal(size=(rows, 2)).astype(np.float32)
    if kind == "constant":
        points[:] = 3
        values[:] = 7
    elif kind == "copies":
        points[rows // 2 :] = points[0]
    elif kind == "one_row_classes":
        labels[:] = 0
        labels[: min(3, rows)] = np.arange(min(3, rows))
    elif kind == "huge":
        points *= 1e12
        values *= np.float32(1e30)
    elif kind == "tiny":
        points *= 1e-12
    else:
        values[:, 0] = np.nan
    chunk = Chunk(points, labels, values)
    detector = make_detector(name, QUICK.get(name)).fit(split(chunk, seed))
    probe = Chunk(
        np.concatenate([points, -points, rng.normal(size=(3, width))]).astype("f4"),
        np.concatenate([labels, (labels + 1) % 4, np.array([0, 1, 3])]),
        np.concatenate([values, values * 2, np.full((3, 2), np.nan)]).astype("f4"),
    )
    scores = as_views(detector.score(probe))
    assert scores.shape[0] == 2 * rows + 3
    assert np.isfinite(scores).all(), f"{name}: {scores}"
    assert all(isinstance(text, str) and text for text in detector.explain(probe))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("knn_label", {"k": 0}),
        ("knn_distance", {"k": "five"}),
        ("clusters", {"method": "dbscan"}),
        ("autoencoder", {"epochs": -1}),
        ("isolation_forest", {"trees": 1}),
        ("self_confidence", {"strength": -2}),
        ("zscore", {"k": 3}),
    ],
)
def test_wrong_options_name_the_key(name: str, options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=f"screen.detectors.{name}"):
        make_detector(name, options)


def test_an_unknown_detector_gets_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="did you mean 'mahalanobis'"):
        make_detector("mahalanobbis")
