"""Labels as they are: rare classes, numeric targets, sets, sequences, windows of a series."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn.neighbors import KNeighborsRegressor
from tests.lazaretto.detection_data import classes, policy, table

import lazaretto as lz
from lazaretto.batch._columns import label_texts
from lazaretto.detect import Chunk, Split
from lazaretto.detect.knn_target import KnnTarget
from lazaretto.detect.neighbours import NeighbourIndex
from lazaretto.errors import UsageError
from lazaretto.reference._blocks import alike_in_order, time_blocks
from lazaretto.reference._hygiene import examine


def test_ten_rows_of_a_rare_class_do_not_vanish() -> None:
    points, labels = classes(np.random.default_rng(0), 800)
    rare = points[:10] * 0.05 + 40
    label = np.concatenate([labels, np.full(10, 4)])
    sample = Chunk(np.concatenate([points, rare]), label)
    found = examine(sample, ("a", "b", "c", "d", "rare"), 0)
    assert not np.isin(np.arange(800, 810), found.strange).any()
    # Single rows far away are left out of fitting, as ever.
    spoiled = points.copy()
    spoiled[:4] += 200
    assert set(examine(Chunk(spoiled, labels), ("a", "b", "c", "d"), 0).strange) >= {0, 1, 2, 3}


def houses(seed: int, rows: int) -> pa.Table:
    """A target that follows the vector, with more noise where the first number is large."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(rows, 6)).astype(np.float32)
    noise = rng.normal(size=rows) * (0.3 + 0.4 * (points[:, 0] > 0.5))
    price = points @ np.array([3.0, -2.0, 1.0, 0.5, 0, 0]) + noise
    return (
        table(points, np.zeros(rows, np.int64))
        .drop_columns(["label"])
        .append_column("price", pa.array(price))
    )


def regression(**columns: str) -> lz.Policy:
    named = {"record_id": "id", "embedding": "embedding", **columns}
    detectors = {"knn_target": {"column": "price"}} if "label" not in columns else {"knn_label": {}}
    screen = {"min_poison_share": 0.1, "detectors": detectors}
    return lz.Policy.model_validate(
        {"version": 1, "dataset": "toy", "columns": named, "screen": screen}
    )


def test_poisoned_targets_are_held_and_clean_batches_are_not() -> None:
    chosen = regression()
    reference = lz.Reference.fit(houses(0, 1200), chosen)
    clean = [lz.screen(houses(seed, 300), reference, chosen) for seed in range(2, 8)]
    assert sum(one.n_held for one in clean) <= 0.01 * 6 * 300
    batch = houses(9, 300)
    price = batch["price"].to_numpy().copy()
    price[:30] = -price[:30] + 6
    result = lz.screen(batch.set_column(2, "price", pa.array(price)), reference, chosen)
    held = np.flatnonzero(result.records["held"].to_numpy())
    assert (held < 30).sum() >= 15
    assert (held >= 30).sum() <= 6
    reasons = [one for one in result.records["reasons"].to_pylist()[:30] if one]
    assert "its target is" in reasons[0][0]


def test_the_middle_of_a_neighbourhood_is_scikit_learns_where_targets_are_even() -> None:
    rng = np.random.default_rng(3)
    points = rng.normal(size=(200, 4)).astype(np.float32)
    target = (points[:, 0] * 2).astype(np.float32)
    split = Split(Chunk(points, None, target[:, None]), (), ("y",), NeighbourIndex(points))
    detector = KnnTarget(k=2).fit(split)
    query = rng.normal(size=(20, 4)).astype(np.float32)
    known = KNeighborsRegressor(2).fit(points, target).predict(query)  # of two, mean is median
    at_it = Chunk(query, None, known[:, None].astype(np.float32))
    assert detector.score(at_it).max() < 1e-3
    off = Chunk(query, None, known[:, None].astype(np.float32) + 50)
    assert detector.score(off).min() > 5


def test_a_missing_target_scores_most_and_a_column_must_be_named() -> None:
    rows = Chunk(np.eye(6, dtype=np.float32), None, np.ones((6, 2), dtype=np.float32))
    split = Split(rows, (), ("a", "b"), NeighbourIndex(rows.embedding))
    with pytest.raises(UsageError, match="name the column of the target"):
        KnnTarget(k=2).fit(split)
    fitted = KnnTarget(k=2, column="b").fit(split)
    gone = Chunk(rows.embedding[:1], None, np.array([[1.0, np.nan]], dtype=np.float32))
    assert fitted.score(gone)[0] == 1e6
    assert fitted.explain(gone) == ["it has no target"]


def test_a_target_named_as_the_label_is_refused_with_a_way_out() -> None:
    with pytest.raises(UsageError, match=r"regression target.*knn_target: \{column: price\}"):
        lz.Reference.fit(houses(0, 100), regression(label="price"))


def with_labels(labels: list[object]) -> pa.Table:
    points, _ = classes(np.random.default_rng(0), len(labels))
    rows = table(points, np.zeros(len(labels), np.int64))
    return rows.set_column(1, "label", pa.array(labels))


def test_sets_of_labels_are_classes_whatever_their_order() -> None:
    rows = pa.table({"label": [["b", "a"], ["a", "b"], ["a"], None, []]})
    assert label_texts(rows, "label").to_pylist() == ["a|b", "a|b", "a", None, ""]
    rng = np.random.default_rng(1)
    sets = [["x"], ["y"], ["x", "y"]]
    chosen = [sets[number] for number in rng.integers(3, size=120)]
    fitted = lz.Reference.fit(with_labels(chosen), policy())
    assert fitted.classes == ("x", "x|y", "y")


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ([[f"t{n}", f"u{n}"] for n in range(60)], "have one that no other row has"),
        ([[f"w{k}" for k in range(30)] for _ in range(60)], "a sequence, not a set"),
        ([f"why, this is answer number {n} of quite some length" for n in range(60)], "text, not"),
    ],
)
def test_what_is_no_class_is_refused_in_words(labels: list[object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        lz.Reference.fit(with_labels(labels), policy())


def series(rows: int, seed: int = 0, width: int = 16) -> np.ndarray:
    """Windows that overlap by all but one value."""
    values = np.cumsum(np.random.default_rng(seed).normal(size=rows + width)) * 0.3
    return np.lib.stride_tricks.sliding_window_view(values, width)[:rows].astype(np.float32)


def test_overlapping_windows_are_noticed_and_independent_or_sorted_rows_are_not() -> None:
    order = np.arange(400)
    overlapping = alike_in_order(series(400), None, order, 0)
    assert overlapping is not None
    assert overlapping < 0.3
    points, labels = classes(np.random.default_rng(0), 400)
    for rows in (order, np.argsort(labels, kind="stable")):
        apart = alike_in_order(points, labels, rows, 0)
        assert apart is not None
        assert apart > 0.8
    assert alike_in_order(points[:10], None, order[:10], 0) is None


def test_folds_by_time_are_stretches_and_cover_every_row() -> None:
    time = np.random.default_rng(2).permutation(500).astype(np.float64)
    parts = time_blocks(time, 10)
    sides = {side.fold: side.calibration for part in parts for side in part.left_out}
    assert len(sides) == 10
    assert np.array_equal(np.sort(np.concatenate(list(sides.values()))), np.arange(500))
    for rows in sides.values():
        assert np.ptp(time[rows]) == len(rows) - 1
    assert time_blocks(np.zeros(50), 10) == ()


def test_a_reference_of_windows_says_so_and_keeps_stretches_apart() -> None:
    rows = series(400)
    moments = pa.array(np.arange(400, dtype=np.int64)).cast(pa.timestamp("s"))
    trusted = table(rows, np.zeros(400, np.int64)).drop_columns(["label"])
    columns = {"record_id": "id", "embedding": "embedding"}
    screen = {"detectors": {"knn_distance": {}}}

    def fitted(**more: str) -> lz.Reference:
        chosen = {"version": 1, "dataset": "d", "columns": columns | more, "screen": screen}
        return lz.Reference.fit(
            trusted.append_column("when", moments), lz.Policy.model_validate(chosen)
        )

    plain, blocked = fitted(), fitted(reference_time="when")
    assert any("name columns.reference_time" in note for note in plain.notes)
    assert any("kept apart by columns.reference_time" in note for note in blocked.notes)
