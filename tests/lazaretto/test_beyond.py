"""Records that differ from their class as found ones do: named with them, and no trusted one is."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from sklearn.covariance import LedoitWolf
from tests.lazaretto.detection_data import classes, policy, table

import lazaretto as lz
from lazaretto.detect.arrays import about_group_means
from lazaretto.detect.base import Chunk
from lazaretto.reference.calibrated import calibration_of
from lazaretto.screen import _beyond, _sample
from lazaretto.screen._neighbourhood import BEYOND
from lazaretto.screen.again import Screened, at_rate, with_rate

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

TRUSTED = 1600


@cache
def fitted(width: int = 16) -> lz.Reference:
    rows = classes(np.random.default_rng(31), TRUSTED, width=width)
    return lz.Reference.fit(table(*rows), policy())


def triggered(seed: int, rows: int, triggers: int) -> tuple[pa.Table, set[str]]:
    """A batch in which records that look like class 1, and are, are pushed one way."""
    rng = np.random.default_rng(seed)
    points, labels = classes(rng, rows)
    bad = np.flatnonzero(labels == 0)[:triggers]
    points[bad] += points[labels == 1].mean(0) - points[labels == 0].mean(0)
    points[bad, -1] += rng.uniform(2, 4, len(bad)).astype(np.float32)
    labels[bad] = 1
    return table(points, labels), {f"r{row}" for row in bad}


def named_beyond(found: lz.Screening) -> set[str]:
    """Ids of records that are held for their direction."""
    records = found.records
    return {
        name
        for name, reasons in zip(
            records["record_id"].to_pylist(), records["reasons"].to_pylist(), strict=True
        )
        if any(BEYOND in reason for reason in reasons)
    }


def test_the_direction_is_fishers_and_no_trusted_record_lies_beyond() -> None:
    reference = fitted()
    rows, label = reference.sample.embedding, reference.sample.label
    assert label is not None
    found = (rows[label == 2][:9] + np.linspace(0, 2, 16, dtype=np.float32)).astype(np.float32)
    question = _beyond._question({2: found}, reference)
    mine = np.flatnonzero(label == 2)
    assert question.number.tolist() == [2]
    (directions,), (bars,) = question.direction, question.bar
    for fold, (direction, bar) in enumerate(zip(directions, bars, strict=True)):
        seen = np.ones(len(rows), dtype=bool)
        for number in range(4):
            seen[np.flatnonzero(label == number)[fold :: _beyond.PARTS]] = False
        inside = about_group_means(rows[seen].astype(np.float64), label[seen])
        covariance = LedoitWolf(assume_centered=True).fit(inside).covariance_
        mean = rows[seen & (label == 2)].mean(0, dtype=np.float64)
        fisher = np.linalg.solve(covariance, found.mean(0, dtype=np.float64) - mean)
        np.testing.assert_allclose(direction, fisher, rtol=1e-3, atol=1e-5)
        assert bar == pytest.approx((rows[mine[fold :: _beyond.PARTS]] @ fisher).max(), rel=1e-3)
    assert not question.holds_for(Chunk(rows, label)).any()
    one = rows[mine].max(0)[None] + 20 * found.mean(0)
    assert question.holds_for(Chunk(one, np.array([2]))).tolist() == [True]
    assert question.holds_for(Chunk(one, np.array([1]))).tolist() == [False]


@pytest.mark.parametrize(("width", "rows"), [(16, 20_000), (160, 20_000), (16, 400)])
def test_clean_records_are_named_as_seldom_as_they_are_the_furthest(
    width: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found records may be anything: of m clean ones m / (t + 1) lie beyond, however wide.

    Also where a large reference is thinned out for its covariance.
    """
    monkeypatch.setattr(_beyond, "COVARIANCE_ROWS", rows)
    reference, named, others = fitted(width), 0, 0
    label = reference.sample.label
    assert label is not None
    assert (
        not _beyond._question({3: reference.sample.embedding[:9]}, reference)
        .holds_for(Chunk(reference.sample.embedding, label))
        .any()
    )
    for seed in range(40):
        points, labels = classes(np.random.default_rng([32, seed]), 1200, width=width)
        mine = points[labels == 3]
        question = _beyond._question({3: mine[:10]}, reference)
        named += int(question.holds_for(Chunk(mine[10:], np.full(len(mine) - 10, 3))).sum())
        others += len(mine) - 10
    expected = others / ((label == 3).sum() + 1)
    assert named <= expected + 4 * np.sqrt(expected)


def test_triggers_that_look_ordinary_are_named_by_the_direction_of_the_others() -> None:
    known = calibration_of(fitted())
    batch, bad = triggered(33, 1200, 40)
    found = lz.screen(batch, fitted(), policy())
    beyond = named_beyond(found)
    ids, p_value = found.records["record_id"].to_pylist(), found.records["p_value"].to_pylist()
    held = {
        name
        for name, is_held in zip(ids, found.records["held"].to_pylist(), strict=True)
        if is_held
    }
    assert len(held & bad) >= 0.5 * len(bad)
    assert len(held - bad) <= 5
    # One in three records of the class is as odd as this.
    assert max(p for name, p in zip(ids, p_value, strict=True) if name in beyond & bad) > 0.33
    (test,) = [test for test in found.tests if test.name == "neighbourhood"]
    assert BEYOND in test.detail
    screened = Screened.of(found.records, found.tests, known, policy(), None, over_batches=False)
    for rate in (0.001, 0.05):  # a replay at another rate holds what a run there would
        there = lz.screen(batch, fitted(), with_rate(policy(), rate))
        assert at_rate(screened, rate).held.tolist() == there.records["held"].to_pylist()


def test_of_a_class_with_few_trusted_records_none_is_named_by_its_direction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beyond the furthest of t trusted records lies one clean record of t + 1."""
    trusted = fitted().sample.label
    assert trusted is not None
    monkeypatch.setattr(_beyond, "FEWEST_TRUSTED", int((trusted == 1).sum()) + 1)
    for rows, triggers, some in ((1200, 40, True), (2400, 80, False)):
        batch, _ = triggered(33, rows, triggers)
        assert batch["label"].to_pylist().count(1) > (trusted == 1).sum() or some
        assert bool(named_beyond(lz.screen(batch, fitted(), policy()))) == some
    monkeypatch.undo()
    assert named_beyond(lz.screen(batch, fitted(), policy()))


def test_who_only_watches_holds_none_of_them() -> None:
    batch, _ = triggered(33, 1200, 40)
    watching = policy(batch={"tests": {"neighbourhood": "shadow"}})
    assert not named_beyond(lz.screen(batch, fitted(), watching))


def test_of_a_batch_that_is_larger_than_its_sample_all_records_are_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where some are not judged: positions are the same."""
    batch, _ = triggered(34, 1200, 40)
    vectors = batch["embedding"].to_pylist()
    for row in range(0, 1200, 31):
        vectors[row] = [float("nan")] * 16
    labels = batch["label"].to_pylist()
    labels[5:9] = [None, 77, None, 77]
    batch = pa.table(
        {
            "id": batch["id"],
            "label": labels,
            "embedding": pa.array(vectors, pa.list_(pa.float32(), 16)),
        }
    )
    exclude = {f"r{row}" for row in range(3, 1200, 23)}
    whole = named_beyond(lz.screen(batch, fitted(), policy(), exclude=exclude))
    assert whole
    monkeypatch.setattr(_sample, "SAMPLE_ROWS", 300)
    assert named_beyond(lz.screen(batch, fitted(), policy(), exclude=exclude)) == whole
