"""Every detector alone and in pairs, in mode enforce and in shadow: fitted, scored, who holds.

What is in shadow never holds, not even where all are; and modes change without fitting again.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from many import in_full
from tests.lazaretto.detection_data import classes, policy, table
from yard import Yard, blobs, make_policy

import lazaretto as lz
from lazaretto import stages
from lazaretto.authority.policies import register_policy
from lazaretto.detect.registry import detector_names
from lazaretto.drift.watch import facts_of
from lazaretto.errors import ReferenceMismatchError
from lazaretto.ledger.events import BatchScreened
from lazaretto.screen import sizes_for
from lazaretto.values import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lazaretto.policy import Policy
    from lazaretto.screen import Screening

QUICK: Mapping[str, Mapping[str, object]] = {
    "knn_target": {"column": "value_0"},
    "autoencoder": {"epochs": 5},
    "isolation_forest": {"trees": 10},
}
NAMES = detector_names()
# By default each is paired with the next one, so that each is once the first and once the second.
PAIRS = list(combinations(NAMES, 2)) if in_full() else list(pairwise([*NAMES, NAMES[0]]))
QUIET = {"tests": dict.fromkeys(("mmd", "class_spread", "near_duplicates"), "off")}
"""The batch tests that look at vectors and not at detectors are not what is tried here."""
MODES = ("enforce", "shadow")


def _policy(modes: Mapping[str, str]) -> Policy:
    detectors = {name: {"mode": mode, **QUICK.get(name, {})} for name, mode in modes.items()}
    return policy(detectors=detectors, min_poison_share=0.5, batch=QUIET)


def _rows(rows: int, seed: int, odd: int = 0) -> pa.Table:
    """Rows with two raw columns; the first `odd` are far off in everything, and all alike."""
    rng = np.random.default_rng(seed)
    points, labels = classes(rng, rows, width=8)
    values = rng.normal(size=(rows, 2))
    points[:odd], values[:odd] = points[0] + 60, 90
    labels[:odd] = (labels[0] + 1) % 4
    made = table(points, labels)
    for column in (0, 1):
        made = made.append_column(f"value_{column}", pa.array(values[:, column]))
    return made


@pytest.fixture(scope="module")
def everything() -> lz.Reference:
    """One reference with every detector, fitted while all of them only watch."""
    return lz.Reference.fit(_rows(300, 1), _policy(dict.fromkeys(NAMES, "shadow")))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_every_detector_alone_is_fitted_saved_and_screened(name: str, mode: str) -> None:
    asked = _policy({name: mode})
    fitted = lz.Reference.fit(_rows(200, 1), asked)
    reference = lz.Reference.from_files(*fitted.files().values())
    assert reference.digest == fitted.digest
    result = lz.screen(_rows(60, 2, odd=8), reference, asked)
    assert result.records["p_value"].null_count == 0
    assert [(d.name, d.mode) for d in result.detectors] == [(name, mode)]
    again = lz.screen(_rows(60, 2, odd=8), fitted, asked)
    assert again.records.equals(result.records)
    if mode == "shadow":
        assert (result.verdict, result.n_held) == (Verdict.PASS, 0)
        assert "No detector decides" in str(result.note)
    else:
        assert "No detector decides" not in str(result.note)


@pytest.fixture(scope="module")
def alone(everything: lz.Reference) -> Callable[[str], Screening]:
    """What a detector says of `_rows(60, 3, odd=8)` where no other one is asked."""

    @cache
    def screened(name: str) -> Screening:
        off = dict.fromkeys(set(NAMES) - {name}, "off")
        return lz.screen(_rows(60, 3, odd=8), everything, _policy({name: "enforce"} | off))

    return screened


@pytest.mark.parametrize("modes", [("enforce", "shadow"), ("shadow", "enforce"), ("shadow",) * 2])
@pytest.mark.parametrize("pair", PAIRS)
def test_of_every_pair_only_the_enforced_one_holds(
    everything: lz.Reference,
    alone: Callable[[str], Screening],
    pair: tuple[str, str],
    modes: tuple[str, str],
) -> None:
    rows = _rows(60, 3, odd=8)
    off = dict.fromkeys(set(NAMES) - set(pair), "off")
    result = lz.screen(rows, everything, _policy(dict(zip(pair, modes, strict=True)) | off))
    told = {detector.name: detector for detector in result.detectors}
    assert [told[name].mode for name in pair] == list(modes)
    assert all(f"rank_{name}" in result.records.column_names for name in pair)
    if "enforce" not in modes:
        assert result.n_held == 0
        assert result.min_detectable > result.records.num_rows
        return
    expected = alone(pair[modes.index("enforce")])
    assert result.records["held"].equals(expected.records["held"])
    assert result.records["p_value"].equals(expected.records["p_value"])
    assert result.verdict is expected.verdict


def test_where_all_watch_nothing_is_held_and_the_figures_say_what_would_be(
    everything: lz.Reference,
) -> None:
    rows = _rows(80, 4, odd=20)
    two = {"mahalanobis": "shadow", "zscore": "shadow"}
    watching = lz.screen(rows, everything, _policy(two))
    assert (watching.verdict, watching.n_held) == (Verdict.PASS, 0)
    assert not any(watching.records["reasons"].to_pylist())
    enforced = lz.screen(rows, everything, _policy(dict.fromkeys(two, "enforce")))
    assert enforced.n_held >= 20
    assert watching.records["p_value"].equals(enforced.records["p_value"])
    assert f"they would hold {enforced.n_held} of 80 records" in str(watching.note)
    assert [d.would_hold for d in watching.detectors if d.name in two] == [
        d.would_hold for d in enforced.detectors if d.name in two
    ]
    # The test that counts small p-values counts what detectors say: it must not hold for them.
    small = next(test for test in watching.tests if test.name == "small_p_values")
    assert small.fired
    assert "Shadow mode" in small.detail
    facts = facts_of(watching, _policy(two))
    assert (facts.small, facts.scored) == (0, 0)
    assert sizes_for(everything, _policy(two)) is None


def test_records_that_cannot_be_scored_and_batch_tests_still_hold(
    everything: lz.Reference,
) -> None:
    rows = _rows(60, 5)
    vectors = rows["embedding"].to_pylist()
    vectors[7] = [float("nan")] * 8
    kind = rows.schema.field("embedding").type
    broken = rows.set_column(2, "embedding", pa.array(vectors, kind))
    result = lz.screen(broken, everything, _policy({"mahalanobis": "shadow"}))
    assert result.records["held"].to_pylist().index(True) == 7
    assert (result.verdict, result.n_held) == (Verdict.HOLD_RECORDS, 1)
    moved = _rows(400, 6)
    far = np.stack(moved["embedding"].to_numpy(zero_copy_only=False)) + 3
    moved = moved.set_column(2, "embedding", pa.array(list(far.astype(np.float32)), kind))
    asked = policy(detectors={"mahalanobis": {"mode": "shadow"}}, min_poison_share=0.5)
    held = lz.screen(moved, everything, asked)
    assert held.verdict is Verdict.HOLD_BATCH
    assert "mmd" in str(held.note)
    assert "No detector decides" in str(held.note)


def test_a_batch_too_small_for_the_detectors_is_told_while_they_watch() -> None:
    reference = lz.Reference.fit(_rows(200, 1), policy(detectors={"knn_distance": {}}))
    strict = policy(detectors={"knn_distance": {"mode": "shadow"}}, min_poison_share=0.02)
    result = lz.screen(_rows(60, 7), reference, strict)
    assert result.verdict is Verdict.PASS
    assert "could not judge a batch of this size" in str(result.note)
    enforced = policy(detectors={"knn_distance": {}}, min_poison_share=0.02)
    assert lz.screen(_rows(60, 7), reference, enforced).verdict is Verdict.ABSTAIN


def test_no_detector_at_all_is_a_mistake_of_the_policy() -> None:
    for detectors in ({}, {"mahalanobis": {"mode": "off"}, "zscore": {"mode": "off"}}):
        with pytest.raises(ValueError, match="no detector runs"):
            policy(detectors=detectors)


def test_a_watching_detector_that_was_not_fitted_is_named(everything: lz.Reference) -> None:
    narrow = lz.Reference.fit(_rows(100, 1), _policy({"zscore": "enforce"}))
    with pytest.raises(ReferenceMismatchError, match=r"mahalanobis.*fit a new version"):
        lz.screen(_rows(60, 2), narrow, _policy({"mahalanobis": "shadow"}))
    assert "mahalanobis" in everything.detectors


def test_from_enforce_to_shadow_and_back_on_one_reference(yard: Yard) -> None:
    """The gate says that nobody decides; the reference is never fitted again."""

    def turned(mode: str) -> Yard:
        detectors = {"mahalanobis": {"mode": mode}, "knn_label": {"mode": mode, "k": 5}}
        screen = {**make_policy().screen.model_dump(mode="json"), "detectors": detectors}
        found = Yard(yard.workspace, make_policy(screen=screen), yard.folder)
        register_policy(yard.workspace, found.policy, reason=f"all to {mode}")
        return found

    bad = {"flips": 9}
    first = turned("enforce").judge("first", blobs(90, seed=5, prefix="a", **bad))
    assert first.verdict is Verdict.HOLD_RECORDS
    watching = turned("shadow")
    second = watching.judge("second", blobs(90, seed=6, prefix="b", **bad))
    assert (second.verdict, second.held, second.cleared) == (Verdict.PASS, 0, 90)
    assert any("No detector decides" in note for note in second.notes)
    assert stages.admit(yard.workspace, second.batch).rows == 90
    screened = stages.screen(yard.workspace, second.batch, watching.policy).said
    assert isinstance(screened, BatchScreened)
    assert {detector.mode for detector in screened.detectors} == {"shadow"}
    assert any(detector.would_hold >= 9 for detector in screened.detectors)
    third = turned("enforce").judge("third", blobs(90, seed=7, prefix="c", **bad))
    assert third.verdict is Verdict.HOLD_RECORDS
    assert third.held >= 9
    assert not any("No detector decides" in note for note in third.notes)
