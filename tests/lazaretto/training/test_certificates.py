"""Certificates against every possible attack, on votes small enough to try them all."""

from __future__ import annotations

from itertools import combinations, permutations, product
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from many import examples

from lazaretto.errors import UsageError
from lazaretto.training import (
    finite_aggregation,
    partition_records,
    partition_sources,
    plurality,
    run_off,
    spread_parts,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _winner(votes: list[int]) -> int:
    return votes.index(max(votes))


def _plain_vote(answers: list[int], classes: int) -> int:
    return _winner([answers.count(c) for c in range(classes)])


def _plain_run_off(scores: NDArray[np.float64]) -> int:
    """In words of the paper, one row: scores (models, classes)."""
    classes = scores.shape[1]
    votes = [sum(int(row.argmax()) == c for row in scores) for c in range(classes)]
    first = _winner(votes)
    second = _winner([-1 if c == first else n for c, n in enumerate(votes)])
    low, high = sorted((first, second))
    prefer_high = sum(row[high] > row[low] for row in scores)
    return high if 2 * prefer_high > len(scores) else low


def _fewest_changed(answers: list[int], classes: int, groups: list[list[int]]) -> int:
    """Fewest groups of models of which some answers change the outcome; one more: none does."""
    before = _plain_vote(answers, classes)
    for k in range(1, len(groups) + 1):
        for some in combinations(groups, k):
            changed = sorted({model for group in some for model in group})
            for new in product(range(classes), repeat=len(changed)):
                tried = list(answers)
                for model, answer in zip(changed, new, strict=True):
                    tried[model] = answer
                if _plain_vote(tried, classes) != before:
                    return k
    return len(groups) + 1


@given(
    st.integers(2, 4).flatmap(
        lambda classes: st.tuples(
            st.just(classes), st.lists(st.integers(0, classes - 1), min_size=1, max_size=6)
        )
    )
)
@settings(max_examples=examples(150))
def test_the_certificate_of_a_vote_is_exact(given_votes: tuple[int, list[int]]) -> None:
    classes, answers = given_votes
    done = plurality([[one] for one in answers], classes)
    assert done.prediction.tolist() == [_plain_vote(answers, classes)]
    alone = [[model] for model in range(len(answers))]
    assert done.radius[0] + 1 == _fewest_changed(answers, classes, alone)


@given(st.data())
@settings(max_examples=examples(80))
def test_finite_aggregation_never_promises_too_much(data: st.DataObject) -> None:
    classes = data.draw(st.integers(2, 3))
    parts = data.draw(st.integers(2, 6))
    degree = data.draw(st.integers(1, min(3, parts)))
    answers = data.draw(st.lists(st.integers(0, classes - 1), min_size=parts, max_size=parts))
    spread = spread_parts(parts, degree, seed=data.draw(st.integers(0, 9)))
    done = finite_aggregation([[one] for one in answers], classes, spread)
    groups = [[m for m in range(parts) if part in spread[m]] for part in range(parts)]
    truth = _fewest_changed(answers, classes, groups)
    assert done.radius[0] < truth
    if truth == 1 or degree == 1:
        assert done.radius[0] == truth - 1


def _orders(classes: int) -> NDArray[np.float64]:
    """Every order of the classes, as scores."""
    return np.array(list(permutations(range(classes))), np.float64)


def _run_off_broken_by(scores: NDArray[np.float64], k: int) -> bool:
    """Whether some answers of some k models let another class win. Tries them all."""
    models, classes = scores.shape
    before, orders = _plain_run_off(scores), _orders(classes)
    for some in combinations(range(models), k):
        picked = np.array(list(product(range(len(orders)), repeat=k)))
        tried = np.repeat(scores[:, None], len(picked), axis=1)
        for place, model in enumerate(some):
            tried[model] = orders[picked[:, place]]
        if (run_off(tried).prediction != before).any():
            return True
    return False


@given(st.data())
@settings(max_examples=examples(60), deadline=None)
def test_the_certificate_of_a_run_off_is_exact(data: st.DataObject) -> None:
    classes = data.draw(st.integers(2, 4))
    models = data.draw(st.integers(1, 7 if classes < 4 else 5))
    orders = _orders(classes)
    scores = np.array([orders[data.draw(st.integers(0, len(orders) - 1))] for _ in range(models)])
    done = run_off(scores[:, None])
    assert done.prediction.tolist() == [_plain_run_off(scores)]
    radius = int(done.radius[0])
    # All answers of four models of four classes are too many to try.
    most = 4 if classes < 4 else 2
    if radius <= most:
        assert radius == 0 or not _run_off_broken_by(scores, radius)
    if radius < most:
        assert _run_off_broken_by(scores, radius + 1)


def test_ties_in_scores_go_to_the_smaller_class_in_both_rounds() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 3, (5, 400, 4)).astype(float)
    done = run_off(scores)
    assert done.prediction.tolist() == [_plain_run_off(scores[:, i]) for i in range(400)]


def test_many_rows_are_judged_as_each_alone() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random((9, 30, 5))
    answers = scores.argmax(2)
    whole, voted = run_off(scores), plurality(answers, 5)
    for i in range(30):
        assert run_off(scores[:, [i]]).radius == whole.radius[i]
        assert plurality(answers[:, [i]], 5).radius == voted.radius[i]


def test_certified_accuracy_counts_what_is_right_and_stays_right() -> None:
    done = plurality([[0, 1, 1], [0, 1, 0], [0, 0, 0], [0, 1, 0], [0, 1, 1]], 2)
    assert done.radius.tolist() == [2, 1, 0]
    assert [done.certified_accuracy([0, 1, 1], k) for k in (0, 1, 2, 3)] == pytest.approx(
        [2 / 3, 2 / 3, 1 / 3, 0]
    )


@given(st.lists(st.text(max_size=8), unique=True, min_size=1, max_size=30), st.integers(1, 9))
def test_a_record_s_part_follows_from_it_alone(contents: list[str], parts: int) -> None:
    whole = partition_records(contents, parts)
    assert set(whole.tolist()) <= set(range(parts))
    assert partition_records(contents[1:], parts).tolist() == whole[1:].tolist()
    assert partition_records(contents[::-1], parts).tolist() == whole[::-1].tolist()
    assert partition_records([c.encode() for c in contents], parts).tolist() == whole.tolist()


def test_records_are_spread_evenly_and_by_the_salt() -> None:
    contents = [str(number) for number in range(20_000)]
    sizes = np.bincount(partition_records(contents, 10))
    assert sizes.min() > 1800
    assert (partition_records(contents, 10, salt="other") != partition_records(contents, 10)).any()


def test_each_source_trains_one_model() -> None:
    rows = ["b", "a", "c", "a", "b"]
    assert partition_sources(rows).tolist() == [1, 0, 2, 0, 1]
    assert partition_sources(rows, known=["a0"]).tolist() == [2, 0, 3, 0, 2]
    shared = partition_sources([f"v{i % 30}" for i in range(90)], parts=7)
    assert all(len({int(shared[j]) for j in range(90) if j % 30 == i}) == 1 for i in range(30))
    assert set(shared.tolist()) == set(range(7))


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 5))
def test_parts_and_models_meet_evenly(parts: int, degree: int, seed: int) -> None:
    degree = min(parts, degree)
    spread = spread_parts(parts, degree, seed=seed)
    assert all(len(set(mine)) == degree for mine in spread.tolist())
    assert np.bincount(spread.ravel(), minlength=parts).tolist() == [degree] * parts


@pytest.mark.parametrize(
    "call",
    [
        lambda: plurality([[2]], 2),
        lambda: plurality([], 2),
        lambda: run_off(np.zeros((2, 3, 1))),
        lambda: run_off(np.full((2, 3, 4), np.nan)),
        lambda: finite_aggregation([[0], [1]], 2, [[0]]),
        lambda: spread_parts(3, 4),
        lambda: partition_records(["a"], 0),
    ],
)
def test_what_makes_no_sense_is_refused(call: object) -> None:
    with pytest.raises(UsageError):
        call()  # type: ignore[operator]
