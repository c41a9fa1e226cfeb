from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.lazaretto.detection_data import classes, policy, table

import lazaretto as lz
from lazaretto.errors import NotFoundError, ReferenceMismatchError, UsageError
from lazaretto.registry.changes import Judged, change


@pytest.fixture(scope="module")
def reference() -> lz.Reference:
    return lz.Reference.fit(table(*classes(np.random.default_rng(0), 300)), policy())


def test_a_loaded_reference_screens_like_the_saved_one(
    reference: lz.Reference, tmp_path: Path
) -> None:
    uri = reference.save(tmp_path)
    assert uri == str(tmp_path / "toy" / "1")
    loaded = lz.Reference.load(uri)
    assert loaded.digest == reference.digest
    batch = table(*classes(np.random.default_rng(1), 80))
    before = lz.screen(batch, reference, policy()).records
    assert lz.screen(batch, loaded, policy()).records.equals(before)


def test_the_digest_is_of_the_content(reference: lz.Reference) -> None:
    data = table(*classes(np.random.default_rng(0), 300))
    assert lz.Reference.fit(data, policy()).digest == reference.digest
    assert lz.Reference.fit(data, policy(), seed=1).digest != reference.digest
    assert lz.Reference.fit(data.slice(1), policy()).digest != reference.digest


def test_a_version_is_never_overwritten(reference: lz.Reference, tmp_path: Path) -> None:
    reference.save(tmp_path)
    assert reference.save(tmp_path) == str(tmp_path / "toy" / "1")
    other = lz.Reference.fit(table(*classes(np.random.default_rng(5), 300)), policy())
    with pytest.raises(UsageError, match="exists with other content"):
        other.save(tmp_path)


@pytest.mark.parametrize("file", ["reference.json", "tensors.safetensors"])
def test_changed_files_are_refused(reference: lz.Reference, tmp_path: Path, file: str) -> None:
    path = Path(reference.save(tmp_path)) / file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ReferenceMismatchError):
        lz.Reference.load(path.parent)
    path.write_bytes(bytes(data[:50]))
    with pytest.raises(ReferenceMismatchError):
        lz.Reference.load(path.parent)


def test_a_missing_reference_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no reference at"):
        lz.Reference.load(tmp_path / "nothing")


def test_unusable_trusted_rows_are_left_out_and_told() -> None:
    points, labels = classes(np.random.default_rng(2), 100)
    points[0] = np.nan
    points[1:3] = 0
    data = table(points, labels)
    data = data.set_column(
        1, "label", pa.array([None if i == 5 else v for i, v in enumerate(labels)])
    )
    reference = lz.Reference.fit(data, policy())
    assert reference.rows == 96
    assert reference.notes == (
        "1 trusted rows left out: embedding.finite",
        "2 trusted rows left out: embedding.zero",
        "1 trusted rows left out: label.missing",
    )


def test_too_small_a_sample_is_refused() -> None:
    with pytest.raises(UsageError, match="29 usable trusted rows; at least 30"):
        lz.Reference.fit(table(*classes(np.random.default_rng(3), 29)), policy())


def test_every_row_calibrates_a_small_reference_by_scorers_that_have_not_seen_it(
    reference: lz.Reference,
) -> None:
    assert reference.calibration_rows == 300
    assert len(reference.scorers) == 10
    for rows in reference.fit_rows:
        assert len(rows) == 180
    assert sorted(np.concatenate(reference.folds).tolist()) == list(range(300))
    unseen = dict.fromkeys(range(5), 0)
    for rows, scorer in zip(reference.fit_rows, reference.scorers, strict=True):
        for side in scorer.sides:
            assert not np.isin(reference.folds[side.fold], rows).any()
            unseen[side.fold] += 1
    assert set(unseen.values()) == {4}


def test_hard_calibration_uses_one_split() -> None:
    data = table(*classes(np.random.default_rng(0), 300))
    reference = lz.Reference.fit(data, policy(calibration="hard"))
    assert len(reference.scorers) == 1


def test_labels_of_another_type_are_the_same_labels(reference: lz.Reference) -> None:
    points, labels = classes(np.random.default_rng(4), 60)
    data = table(points, labels)
    as_float = data.set_column(1, "label", data["label"].cast(pa.float64()))
    as_text = data.set_column(1, "label", data["label"].cast(pa.string()).dictionary_encode())
    expected = lz.screen(data, reference, policy()).records
    assert lz.screen(as_float, reference, policy()).records.equals(expected)
    assert lz.screen(as_text, reference, policy()).records.equals(expected)


def test_without_labels_the_label_detectors_step_aside() -> None:
    plain = lz.Policy.model_validate(
        {"version": 1, "dataset": "toy", "columns": {"record_id": "id", "embedding": "embedding"}}
    )
    data = table(*classes(np.random.default_rng(6), 300))
    reference = lz.Reference.fit(data, plain)
    without = ["mahalanobis", "knn_distance", "isolation_forest", "density"]
    assert list(reference.detectors) == without
    points, labels = classes(np.random.default_rng(7), 100)
    points[:20] += 30
    held = lz.screen(table(points, labels), reference, plain).records["held"].to_numpy()
    assert held[:20].all()
    assert held[20:].mean() <= 0.03


def test_bad_rows_in_the_trusted_sample_are_told_and_left_out_of_fitting() -> None:
    """Poison that slipped into the sample must not teach the detectors that it is normal."""
    points, labels = classes(np.random.default_rng(8), 400)
    points[:6] = 60.0
    points[6] = points[7]
    labels[6] = (labels[7] + 1) % 4
    reference = lz.Reference.fit(table(points, labels), policy())
    assert reference.notes[0].startswith("7 trusted rows do not fit the others")
    assert reference.notes[1:] == (
        "6 trusted rows repeat another row's vector",
        f"{len(set(labels[:6].tolist()))} of them under another label",
    )
    for rows in reference.fit_rows:
        assert not set(rows.tolist()) & set(range(7))
    assert reference.calibration_rows == 400


def test_a_clean_sample_is_hardly_trimmed() -> None:
    trimmed = 0
    for seed in range(5):
        data = table(*classes(np.random.default_rng([9, seed]), 400))
        notes = lz.Reference.fit(data, policy()).notes
        trimmed += any("do not fit" in note for note in notes)
    assert trimmed == 0


def test_two_versions_are_compared_on_past_batches() -> None:
    rng = np.random.default_rng(10)
    old = lz.Reference.fit(table(*classes(rng, 400)), policy())
    points, labels = classes(rng, 400)
    points[:200] += 2  # the population has moved, and the new version knows
    records_only = policy(batch={"tests": {"mmd": "off", "class_spread": "off"}})
    new = lz.Reference.fit(table(points, labels), records_only, version="2")
    moved, moved_labels = classes(rng, 100)
    moved[:12] += 2
    past = {
        "still": table(*classes(rng, 100)),
        "moved": table(moved, moved_labels),
    }
    still, changed = (
        change(name, *(Judged.of(lz.screen(batch, each, records_only)) for each in (old, new)))
        for name, batch in past.items()
    )
    assert still.old is still.new is lz.Verdict.PASS
    assert len(changed.no_longer_held) >= 10
    assert set(changed.no_longer_held) <= {f"r{row}" for row in range(100)}
