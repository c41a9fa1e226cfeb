from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.lazaretto.detection_data import classes, flip, policy, table

if TYPE_CHECKING:
    from pathlib import Path

import lazaretto as lz
from lazaretto.errors import DeliveryError, ReferenceMismatchError


@pytest.fixture(scope="module")
def reference() -> lz.Reference:
    return lz.Reference.fit(table(*classes(np.random.default_rng(0), 800)), policy())


def held(result: lz.Screening) -> np.ndarray:
    return result.records["held"].to_numpy()


def test_flipped_labels_are_held_and_clean_records_are_not(reference: lz.Reference) -> None:
    points, labels = classes(np.random.default_rng(1), 200)
    flip(labels, np.arange(30))
    result = lz.screen(table(points, labels), reference, policy())
    assert result.verdict is lz.Verdict.HOLD_RECORDS
    assert held(result)[:30].mean() > 0.9
    assert held(result)[30:].mean() <= 0.02
    assert result.n_held == held(result).sum()
    reasons = result.records["reasons"][0].as_py()
    assert any("knn_label: labelled '" in reason for reason in reasons)


def test_clean_batches_pass_at_the_stated_rate() -> None:
    """Mean over references and batches: the promise is about the mean."""
    shares, passed = [], 0
    for seed in range(6):
        rng = np.random.default_rng([7, seed])
        reference = lz.Reference.fit(table(*classes(rng, 400)), policy(), seed=seed)
        for _ in range(5):
            result = lz.screen(table(*classes(rng, 100)), reference, policy())
            shares.append(held(result).mean())
            passed += result.verdict is lz.Verdict.PASS
    assert np.mean(shares) <= 0.01
    assert passed >= 27


def test_each_p_value_is_valid_under_cross_fitting() -> None:
    """P(p <= t) <= t: over references, as a single one may lie to either side."""
    below = []
    for seed in range(12):
        rng = np.random.default_rng([8, seed])
        reference = lz.Reference.fit(table(*classes(rng, 300)), policy(), seed=seed)
        result = lz.screen(table(*classes(rng, 400)), reference, policy())
        p = result.records["p_value"].to_numpy()
        below.append([(p <= level).mean() for level in (0.01, 0.05, 0.2)])
    # Nominal and two standard errors of 12 references with 400 records each.
    assert (np.mean(below, axis=0) <= np.array([0.0135, 0.06, 0.222])).all()


def test_a_records_score_does_not_depend_on_its_batch(reference: lz.Reference) -> None:
    points, labels = classes(np.random.default_rng(2), 50)
    whole = lz.screen(table(points, labels), reference, policy()).records
    for row in (0, 17, 49):
        alone = lz.screen(
            table(points[row : row + 1], labels[row : row + 1]), reference, policy()
        ).records
        for column in ("score", "p_value", "rank_mahalanobis", "rank_knn_label"):
            assert alone[column][0].as_py() == pytest.approx(whole[column][row].as_py(), rel=1e-5)


def test_a_file_gives_what_the_table_gives(reference: lz.Reference, tmp_path: Path) -> None:
    data = table(*classes(np.random.default_rng(3), 120))
    pq.write_table(data, tmp_path / "b.parquet", row_group_size=50)
    there = lz.screen(tmp_path / "b.parquet", reference, policy()).records
    here = lz.screen(data, reference, policy()).records
    assert there["record_id"].to_pylist() == here["record_id"].to_pylist()
    np.testing.assert_allclose(there["score"], here["score"], rtol=1e-4)


def test_rows_that_cannot_be_scored_are_held_with_the_reason(reference: lz.Reference) -> None:
    points, labels = classes(np.random.default_rng(4), 60)
    points[0, 3] = np.nan
    points[1, 0] = np.inf
    points[2] = 0
    labels[3] = 77
    data = table(points, labels)
    data = data.set_column(
        1, "label", pa.array([None if i == 4 else v for i, v in enumerate(labels)])
    )
    result = lz.screen(data, reference, policy())
    texts = [reasons[0] for reasons in result.records["reasons"].to_pylist()[:5]]
    assert texts == [
        "embedding.finite: NaN or infinite numbers in the embedding",
        "embedding.finite: NaN or infinite numbers in the embedding",
        "embedding.zero: the embedding is all zeros",
        "label.unseen: no trusted record is labelled '77'",
        "label.missing: there is no label",
    ]
    assert held(result)[:5].all()
    assert result.records["p_value"].null_count == 5
    assert result.n_held == 5


def test_excluded_records_are_not_judged(reference: lz.Reference) -> None:
    points, labels = classes(np.random.default_rng(5), 60)
    points[:2] = np.nan
    result = lz.screen(table(points, labels), reference, policy(), exclude={"r0", "r1"})
    assert result.records["record_id"][0].as_py() == "r2"
    assert result.n_held == 0


def test_too_little_calibration_abstains_and_says_what_would_do(reference: lz.Reference) -> None:
    data = table(*classes(np.random.default_rng(6), 2000))
    strict = policy(false_quarantine_rate=0.001, min_poison_share=0.001)
    result = lz.screen(data, reference, strict)
    assert result.verdict is lz.Verdict.ABSTAIN
    assert result.note is not None
    assert "Fit a reference with at least" in result.note
    assert result.min_detectable > 2


def test_half_a_batch_of_poison_holds_the_batch(reference: lz.Reference) -> None:
    points, labels = classes(np.random.default_rng(9), 100)
    flip(labels, np.arange(50))
    result = lz.screen(table(points, labels), reference, policy())
    assert result.verdict is lz.Verdict.HOLD_BATCH
    assert result.note is not None
    assert "hold_when_held_fraction" in result.note


def test_a_batch_that_is_off_everywhere_but_nowhere_much_is_held(reference: lz.Reference) -> None:
    points, labels = classes(np.random.default_rng(10), 400)
    points += np.random.default_rng(11).normal(0, 0.15, points.shape).astype(np.float32)
    result = lz.screen(
        table(points, labels), reference, policy(batch={"hold_when_held_fraction": 1.0})
    )
    assert result.verdict is lz.Verdict.HOLD_BATCH
    assert any(test.fired for test in result.tests)


def test_a_shadow_detector_counts_but_does_not_hold() -> None:
    shadow = policy(
        detectors={"mahalanobis": {"mode": "shadow"}, "knn_label": {"mode": "enforce", "k": 10}}
    )
    rng = np.random.default_rng(11)
    reference = lz.Reference.fit(table(*classes(rng, 500)), shadow)
    points, labels = classes(rng, 100)
    points[:15] += 40  # far off, but its neighbours' labels may well agree
    reference_labels = lz.screen(table(points, labels), reference, shadow)
    by_name = {d.name: d for d in reference_labels.detectors}
    assert by_name["mahalanobis"].mode == "shadow"
    assert by_name["mahalanobis"].would_hold >= 15
    assert held(reference_labels).sum() < 15


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embedding": None}, "embedding column 'embedding' is missing"),
        ({"label": None}, "label column 'label' is missing"),
        ({"embedding": pa.array(["x"] * 40)}, "it must hold a list of numbers"),
        (
            {"embedding": pa.array([[1.0, 2.0]] * 40)},
            "has 2 dimensions; the reference was fitted on 16",
        ),
    ],
)
def test_batches_that_do_not_fit_the_reference_say_why(
    reference: lz.Reference, change: dict[str, pa.Array | None], message: str
) -> None:
    data = table(*classes(np.random.default_rng(12), 40))
    for name, column in change.items():
        data = data.drop([name])
        if column is not None:
            data = data.append_column(name, column)
    with pytest.raises(ReferenceMismatchError, match=message):
        lz.screen(data, reference, policy())


def test_a_flood_is_held_though_each_copy_alone_is_ordinary(reference: lz.Reference) -> None:
    rng = np.random.default_rng(20)
    points, labels = classes(rng, 200)
    points[:20] = points[0] + rng.normal(0, 1e-3, (20, 16)).astype(np.float32)
    labels[:20] = labels[0]
    result = lz.screen(table(points, labels), reference, policy())
    assert result.verdict is lz.Verdict.HOLD_RECORDS
    assert held(result)[:20].all()
    assert held(result)[20:].mean() <= 0.02
    assert "near_duplicates" in result.records["reasons"][3].as_py()[-1]


def test_copies_outside_the_sample_of_a_large_batch_are_found_too(reference: lz.Reference) -> None:
    rng = np.random.default_rng(21)
    points, labels = classes(rng, 6000)
    points[1000:1600] = points[0] + rng.normal(0, 1e-3, (600, 16)).astype(np.float32)
    labels[1000:1600] = labels[0]
    result = lz.screen(table(points, labels), reference, policy(min_poison_share=0.5))
    assert held(result)[1000:1600].mean() > 0.99
    assert np.delete(held(result), np.s_[1000:1600]).mean() < 0.01


def test_most_of_a_batch_in_copies_holds_the_batch(reference: lz.Reference) -> None:
    """The first known way to break such systems: the batch's own median is a copy."""
    rng = np.random.default_rng(22)
    points, labels = classes(rng, 200)
    points[:140] = points[0] + rng.normal(0, 1e-3, (140, 16)).astype(np.float32)
    labels[:140] = labels[0]
    result = lz.screen(table(points, labels), reference, policy())
    assert result.verdict is lz.Verdict.HOLD_BATCH
    assert held(result)[:140].all()
    assert held(result)[140:].mean() < 0.1


def test_a_poison_cluster_larger_than_k_is_held(reference: lz.Reference) -> None:
    """The second: inside the batch every neighbour of a poisoned record is poisoned too."""
    rng = np.random.default_rng(23)
    points, labels = classes(rng, 200)
    points[:35] = rng.normal(6, 0.3, (35, 16)).astype(np.float32)
    labels[:35] = 1
    k = 20  # of knn_label
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    nearest = np.argsort(distance, axis=1)[:, 1 : k + 1]
    assert (labels[nearest[:35]] == 1).all(), "by the batch alone, no label is in doubt"
    reach = np.sort(distance, axis=1)[:, k]
    assert reach[:35].max() < np.median(reach[35:]), "nor is any poisoned record isolated"
    result = lz.screen(table(points, labels), reference, policy())
    assert held(result)[:35].all()
    assert held(result)[35:].mean() < 0.05


def test_poison_too_rare_for_the_calibration_is_not_passed(reference: lz.Reference) -> None:
    """The third: nothing could be held, however extreme, so nothing may be let by."""
    points, labels = classes(np.random.default_rng(26), 1500)
    points[:3] += 50
    asked = policy(min_poison_share=0.002)
    result = lz.screen(table(points, labels), reference, asked)
    assert not held(result).any()
    assert result.verdict is lz.Verdict.ABSTAIN
    enough = lz.Reference.fit(table(*classes(np.random.default_rng(27), 9000)), asked)
    rated = policy(min_poison_share=0.002, hold="rate")
    judged = lz.screen(table(points, labels), enough, rated)
    assert judged.verdict is lz.Verdict.HOLD_RECORDS
    assert held(judged)[:3].all()


def test_by_rate_a_few_extreme_records_are_held_at_the_stated_price(
    reference: lz.Reference,
) -> None:
    points, labels = classes(np.random.default_rng(28), 1000)
    points[:4] += 50
    batch = table(points, labels)
    by_evidence = lz.screen(batch, reference, policy(min_poison_share=0.5))
    assert not held(by_evidence).any()
    by_rate = lz.screen(batch, reference, policy(hold="rate"))
    assert by_rate.verdict is lz.Verdict.HOLD_RECORDS
    assert by_rate.min_detectable == 1
    assert held(by_rate)[:4].all()
    assert 0 < held(by_rate)[4:].mean() <= 0.025
    p = by_rate.records["p_value"].to_numpy()
    assert (held(by_rate) == (p <= 0.01)).all()


def test_by_rate_a_reference_that_cannot_give_such_p_values_abstains() -> None:
    few = lz.Reference.fit(table(*classes(np.random.default_rng(29), 60)), policy())
    batch = table(*classes(np.random.default_rng(30), 50))
    result = lz.screen(batch, few, policy(hold="rate"))
    assert result.verdict is lz.Verdict.ABSTAIN
    assert result.note is not None
    needed = int(result.note.split("at least ")[1].split()[0])
    assert 99 <= needed <= 110


def test_hard_calibration_asks_for_a_reference_of_its_own(reference: lz.Reference) -> None:
    data = table(*classes(np.random.default_rng(24), 40))
    with pytest.raises(ReferenceMismatchError, match="was cross-fitted"):
        lz.screen(data, reference, policy(calibration="hard"))


def test_classes_calibrated_by_themselves_are_held_at_the_rate_each() -> None:
    """A class that scatters more than the others pays for it under one common calibration."""
    rng = np.random.default_rng(25)

    def uneven(rows: int) -> pa.Table:
        points, labels = classes(rng, rows, n_classes=2)
        points[labels == 1] += rng.standard_t(3, (int((labels == 1).sum()), 16)) * 3
        return table(points, labels)

    by_class = policy(calibrate_by="class", false_quarantine_rate=0.05)
    together = policy(false_quarantine_rate=0.05)
    reference = lz.Reference.fit(uneven(2400), by_class)
    batch = uneven(3000)
    wild = batch["label"].to_numpy() == 1
    p_class = lz.screen(batch, reference, by_class).records["p_value"].to_numpy()
    p_together = lz.screen(batch, reference, together).records["p_value"].to_numpy()
    assert (p_together[~wild] <= 0.05).mean() < 0.02
    assert 0.03 < (p_class[~wild] <= 0.05).mean() < 0.07
    assert 0.03 < (p_class[wild] <= 0.05).mean() < 0.07


def test_an_empty_batch_is_a_refused_delivery(reference: lz.Reference) -> None:
    data = table(*classes(np.random.default_rng(13), 3)).slice(0, 0)
    with pytest.raises(DeliveryError, match="no rows") as caught:
        lz.screen(data, reference, policy())
    assert caught.value.code == "zero_rows"


def test_a_policy_with_other_options_than_the_reference_is_an_error(
    reference: lz.Reference,
) -> None:
    other = policy(detectors={"knn_label": {"k": 3}})
    with pytest.raises(ReferenceMismatchError, match="knn_label: reference toy/1 was fitted with"):
        lz.screen(table(*classes(np.random.default_rng(14), 40)), reference, other)


def test_a_batch_test_in_shadow_looks_at_a_share_of_the_batch_the_same_each_time(
    reference: lz.Reference,
) -> None:
    rows = table(*classes(np.random.default_rng(15), 600))

    def said(mode: str, rows: object) -> str:
        result = lz.screen(rows, reference, policy(batch={"tests": {"energy": mode}}))
        (test,) = [test for test in result.tests if test.name == "energy"]
        return test.detail

    assert "between 600 records and" in said("enforce", rows)
    assert "between 250 records and 250" in said("shadow", rows)
    assert said("shadow", rows) == said("shadow", rows)


def test_importing_the_package_loads_nothing_heavy() -> None:
    import subprocess
    import sys

    heavy = ("torch", "pyarrow", "sklearn", "faiss", "numpy", "pydantic")
    code = (
        "import sys, lazaretto, lazaretto.values, lazaretto.errors; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_functions_stay_functions_when_their_files_are_imported() -> None:
    import importlib

    importlib.import_module("lazaretto.screen")
    assert callable(lz.screen)
