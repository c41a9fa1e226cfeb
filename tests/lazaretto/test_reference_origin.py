"""How trusted rows are split where it is known who delivered them, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from tests.lazaretto.detection_data import classes, table

import lazaretto as lz
from lazaretto.reference._origin import Origin, read_origin, split_rows

OFF = dict.fromkeys(
    ("small_p_values", "near_duplicates", "class_spread", "mmd", "energy", "label_shift"), "off"
)


def policy(**columns: str) -> lz.Policy:
    named = {"record_id": "id", "label": "label", "embedding": "embedding", **columns}
    screen = {
        "min_poison_share": 0.5,
        "detectors": {"mahalanobis": {}, "knn_label": {"k": 10}},
        "batch": {"tests": OFF},
    }
    return lz.Policy.model_validate(
        {"version": 1, "dataset": "toy", "columns": named, "screen": screen}
    )


def sites(seed: int, count: int, each: int, *, spread: float) -> pa.Table:
    """Rows of several sites, each of which sees the same classes a little displaced."""
    rng = np.random.default_rng(seed)
    points, labels, names = [], [], []
    for number in range(count):
        found, label = classes(rng, each)
        points.append(found + spread * rng.normal(size=found.shape[1]).astype(np.float32))
        labels.append(label)
        names += [f"site-{number}"] * each
    rows = table(np.concatenate(points), np.concatenate(labels))
    return rows.append_column("site", pa.array(names))


def test_a_group_is_never_split_and_every_row_calibrates() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(17), rng.integers(5, 60, 17))
    label = rng.integers(3, size=len(group))
    parts, notes = split_rows(label, len(group), Origin(group), seed=0)
    assert notes == ()
    assert len(parts) == 10
    for part in parts:
        for side in part.left_out:
            sets = [set(group[rows]) for rows in (part.fit, side.rank, side.calibration)]
            assert sum(map(len, sets)) == 17 == len(set.union(*sets))
    folds = {side.fold: side.calibration for part in parts for side in part.left_out}
    every = np.concatenate(list(folds.values()))
    assert sorted(every.tolist()) == list(range(len(group)))


def test_a_large_reference_is_fitted_on_the_oldest_and_calibrated_on_the_newest() -> None:
    rng = np.random.default_rng(1)
    time = rng.permutation(12_000).astype(np.float64)
    (part,), notes = split_rows(None, len(time), Origin(time=time), seed=0)
    assert notes == ()
    (side,) = part.left_out
    assert time[part.fit].max() < time[side.rank].min()
    assert time[side.rank].max() < time[side.calibration].min()
    assert len(part.fit) == 7200
    # With groups, those that came last calibrate, whole.
    group = np.repeat(np.arange(24), 500)
    moment = np.repeat(rng.permutation(24).astype(np.float64), 500)
    (part,), _ = split_rows(None, 12_000, Origin(group, moment), seed=0)
    (side,) = part.left_out
    sets = [set(group[rows]) for rows in (part.fit, side.rank, side.calibration)]
    assert sum(map(len, sets)) == 24
    assert moment[part.fit].max() < moment[side.calibration].min()


@pytest.mark.parametrize(
    ("group", "told"),
    [
        (np.repeat(np.arange(3), 100), "has 3 groups, and 5 are needed"),
        (np.concatenate([np.zeros(280), np.arange(1, 21)]).astype(np.int64), "one group has too"),
        (np.repeat(np.arange(6), 50), "a label is found in one group"),
    ],
)
def test_what_cannot_be_split_by_origin_is_split_at_random_and_told(
    group: np.ndarray, told: str
) -> None:
    label = (group == 5).astype(np.int64)
    parts, notes = split_rows(label, 300, Origin(group), seed=0)
    assert len(parts) == 10
    assert told in notes[0]
    assert "random" in notes[0]


def test_times_are_read_from_dates_timestamps_text_and_numbers() -> None:
    start = datetime(2026, 5, 1, tzinfo=UTC)
    moments = [start + timedelta(days=n) for n in range(4)]
    for column in (
        pa.array(moments, pa.timestamp("us", "UTC")),
        pa.array([m.date() for m in moments]),
        pa.array([m.isoformat() for m in moments]),
        pa.array([f"2026-05-0{n + 1}" for n in range(4)]),
        pa.array([5, 6, 7, 9]),
    ):
        rows = pa.table({"when": column})
        time = read_origin(rows, policy(reference_time="when").columns).time
        assert time is not None
        assert (np.diff(time) > 0).all()
    with pytest.raises(lz.ReferenceMismatchError, match="are no times"):
        read_origin(pa.table({"when": ["soon"]}), policy(reference_time="when").columns)
    with pytest.raises(lz.ReferenceMismatchError, match="no column 'where'"):
        read_origin(pa.table({"when": [1]}), policy(reference_group="where").columns)


def test_records_of_a_new_site_are_held_at_the_stated_rate_only_if_groups_were_kept_whole() -> None:
    """Calibrated on sites that the detectors know, a new one looks stranger than it is."""
    by_site, at_random = [], []
    for seed in range(2):
        trusted = sites(seed, 20, 40, spread=0.7)
        references = {
            name: lz.Reference.fit(trusted, named)
            for name, named in (("site", policy(reference_group="site")), ("random", policy()))
        }
        for new in range(8):
            batch = sites(1000 * seed + new + 100, 1, 150, spread=0.7)
            for name, shares in (("site", by_site), ("random", at_random)):
                found = lz.screen(batch, references[name], policy())
                shares.append((found.records["p_value"].to_numpy() <= 0.05).mean())
    assert np.mean(by_site) <= 0.06
    assert np.mean(at_random) >= 1.5 * np.mean(by_site)


def test_rows_without_a_vector_are_left_out_of_the_groups_as_well() -> None:
    trusted = sites(3, 6, 30, spread=0.1)
    vectors = trusted["embedding"].to_pylist()
    vectors[0] = vectors[170] = None
    broken = trusted.set_column(2, "embedding", pa.array(vectors, trusted["embedding"].type))
    reference = lz.Reference.fit(broken, policy(reference_group="site"))
    assert reference.rows == 178
    assert reference.calibration_rows == 178
    assert len(reference.folds) == 5  # six groups, whole
