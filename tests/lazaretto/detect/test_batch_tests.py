from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from tests.lazaretto.detection_data import classes

from lazaretto.screen.batch_tests.base import ENOUGH, Outcome, Pair, permutation_p
from lazaretto.screen.batch_tests.class_spread import class_spread
from lazaretto.screen.batch_tests.label_shift import label_shift
from lazaretto.screen.batch_tests.near_duplicates import near_duplicates
from lazaretto.screen.batch_tests.two_sample import energy, mmd

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

TESTS = [near_duplicates, label_shift, mmd, energy, class_spread]


def pair(seed: int, rows: int = 150, *, known: int = 200, resolution: float = 0.02) -> Pair:
    rng = np.random.default_rng(seed)
    batch, batch_label = classes(rng, rows, width=6)
    reference, reference_label = classes(rng, known, width=6)
    return Pair(
        batch,
        reference,
        batch_label,
        reference_label,
        ("a", "b", "c", "d"),
        resolution,
        seed,
    )


@pytest.mark.parametrize("test", TESTS)
def test_clean_batches_fire_at_no_more_than_the_level(test: Callable[[Pair], Outcome]) -> None:
    p = np.array([test(pair(seed)).p_value for seed in range(60)])
    assert (p <= 0.1).mean() <= 0.2
    assert (p <= 0.02).sum() <= 5


def replaced(pair: Pair, **changes: np.ndarray[Any, Any]) -> Pair:
    return replace(pair, **changes)


def test_a_shifted_batch_fires_the_two_sample_tests() -> None:
    clean = pair(1)
    shifted = replaced(clean, batch=clean.batch + 0.5)
    assert mmd(shifted).p_value < 0.02
    assert energy(shifted).p_value < 0.02


def test_another_mix_of_labels_fires_label_shift_and_names_the_class() -> None:
    clean = pair(2)
    assert clean.batch_label is not None
    mixed = clean.batch_label.copy()
    mixed[:60] = 2
    outcome = label_shift(replaced(clean, batch_label=mixed))
    assert outcome.p_value < 0.02
    assert "'c'" in outcome.detail


def test_a_shift_in_a_narrow_direction_of_one_class_fires_class_spread() -> None:
    clean = pair(3, rows=300, known=3000, resolution=0.001)
    assert clean.batch_label is not None
    narrow = np.linalg.eigh(np.cov(clean.reference[clean.reference_label == 1].T))[1][:, 0]
    batch = clean.batch.copy()
    rows = np.flatnonzero(clean.batch_label == 1)[::5]
    spread = float((clean.reference[clean.reference_label == 1] @ narrow).std())
    batch[rows] += 6 * spread * narrow
    outcome = class_spread(replaced(clean, batch=batch))
    assert outcome.p_value < 0.02
    assert "class 'b'" in outcome.detail


def test_one_class_of_many_fires_class_spread_at_the_level_of_a_batch() -> None:
    """With a p-value for each of 80 classes, no number of permutations was enough for the level."""
    rng = np.random.default_rng(8)
    names = tuple(f"class {number}" for number in range(80))
    label, known = np.repeat(np.arange(80), 20), np.tile(np.repeat(np.arange(80), 20), 2)
    batch = rng.normal(size=(1600, 6)).astype(np.float32)
    reference = rng.normal(size=(3200, 6)).astype(np.float32)
    clean = Pair(batch, reference, label, known, names, 0.001 / 6, 0)
    assert class_spread(clean).p_value > 0.01
    batch[label == 17, 0] += 4
    outcome = class_spread(clean)
    assert outcome.p_value <= 0.001 / 6
    assert "of 80 classes, class 'class 17'" in outcome.detail


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7])
def test_floods_are_found_and_named_up_to_most_of_the_batch(share: float) -> None:
    """Above one half, rules whose unit is the batch's own median see nothing."""
    clean = pair(4, rows=200, resolution=0.001)
    rng = np.random.default_rng(0)
    batch = clean.batch.copy()
    flooded = round(share * 200)
    batch[:flooded] = batch[0] + 1e-3 * rng.normal(size=(flooded, 6))
    outcome = near_duplicates(replaced(clean, batch=batch))
    assert outcome.p_value < 0.001
    assert outcome.members is not None
    assert outcome.members[:flooded].mean() > 0.99
    assert outcome.members[flooded:].mean() < 0.05


def test_a_flood_is_followed_to_its_loose_copies_and_no_farther() -> None:
    """Copies vary: some lie farther from the others, but not yet where trusted rows lie."""
    clean = pair(6, rows=200, resolution=0.001)
    usual = np.median(np.sort(cdist(clean.reference, clean.reference))[:, 1])
    far = np.full(6, 30.0) / 6**0.5
    step = np.random.default_rng(1).normal(size=6)
    batch = clean.batch.copy()
    batch[:20] = far
    batch[20] = far + 0.75 * usual * step / np.linalg.norm(step)
    batch[21] = far + 5 * usual * step / np.linalg.norm(step)
    outcome = near_duplicates(replaced(clean, batch=batch))
    assert outcome.members is not None
    assert outcome.members[:21].all()
    assert not outcome.members[21:].any()
    close = clean.reference.copy()
    close[0] = far - 0.65 * usual * step / np.linalg.norm(step)
    nearer = near_duplicates(replaced(clean, batch=batch, reference=close))
    assert nearer.members is not None
    assert nearer.members[:20].all()
    assert not nearer.members[20], "a trusted record lies nearer than this one"


def test_templates_that_the_reference_has_too_are_not_a_flood() -> None:
    clean = pair(5, rows=200, resolution=0.001)
    batch, reference = clean.batch.copy(), clean.reference.copy()
    batch[:40] = reference[0]
    reference[:40] = reference[0].copy()
    assert near_duplicates(replaced(clean, batch=batch, reference=reference)).p_value > 0.01


def test_permutation_p_values_are_never_zero_and_stop_where_they_are_no_news() -> None:
    asked: list[int] = []

    def draw(rows: int) -> npt.NDArray[np.float64]:
        asked.append(rows)
        return np.arange(rows) % 2.0

    assert permutation_p(9.0, draw, permutations=99, slack=0.0) == 1 / 100
    assert sum(asked) == 99
    asked.clear()
    assert permutation_p(0.0, draw, permutations=20_000, slack=0.0) == 1.0
    assert permutation_p(1.0, draw, permutations=20_000, slack=0.0) == 0.5
    assert sum(asked) < 500, "a clean batch costs a few dozen"


@given(seed=st.integers(0, 2**32 - 1), rank=st.integers(0, 2000))
def test_stopping_early_changes_no_small_p_value(seed: int, rank: int) -> None:
    """What could fire is counted to the end; above that, both say that it does not."""
    values = np.random.default_rng(seed).permutation(2000).astype(float)
    left = iter(np.split(values, np.arange(50, 2000, 50)))

    def draw(rows: int) -> npt.NDArray[np.float64]:
        return np.concatenate([next(left) for _ in range(rows // 50)])

    whole = (1 + rank) / 2001
    found = permutation_p(2000.0 - rank, draw, permutations=2000, slack=0.0)
    assert found == whole if rank < ENOUGH else found >= ENOUGH / 2000


def test_a_finer_p_value_is_as_valid() -> None:
    """Of outcomes that are exchangeable with what is drawn, no more than p have at most p."""
    rng = np.random.default_rng(3)
    found = np.array(
        [
            permutation_p(rng.random(), rng.random, permutations=40, slack=0.0, finer=5)
            for _ in range(8000)
        ]
    )
    assert found.min() == 1 / 41
    for level in np.unique(found[found <= 0.1]):
        assert (found <= level).mean() <= level + 4 * (level / len(found)) ** 0.5
    # One in the first fifty, none in the two hundred behind them.
    drawn = iter(np.split(np.append(1.0, np.zeros(249)), [50]))
    one = permutation_p(1.0, lambda _: next(drawn), permutations=50, slack=0.0, finer=5)
    assert one == pytest.approx(1 / 51 + (1 - 200 / 250) / 251)


def test_a_batch_that_differs_is_found_whatever_the_seed_draws() -> None:
    """Random features and few permutations once made it a matter of luck near the level."""
    differs = pair(7, rows=200, known=400, resolution=0.001)
    slightly = replaced(differs, batch=differs.batch + np.float32(0.25))
    differs = replaced(differs, batch=differs.batch + np.float32(0.32))
    found = [mmd(replace(differs, seed=seed)).p_value for seed in range(6)]
    assert max(found) <= 0.001
    found = [mmd(replace(slightly, seed=seed)).p_value for seed in range(6)]
    assert max(found) <= 2.5 * min(found)


@pytest.mark.parametrize("test", TESTS)
def test_tiny_and_constant_samples_do_not_crash(test: Callable[[Pair], Outcome]) -> None:
    for rows in (1, 2, 5):
        flat = Pair(
            np.ones((rows, 3), np.float32),
            np.ones((3, 3), np.float32),
            np.zeros(rows, dtype=np.int64),
            np.zeros(3, dtype=np.int64),
            ("a", "b"),
            0.02,
            0,
        )
        assert 0 < test(flat).p_value <= 1


def messages(rng: np.random.Generator, rows: int) -> npt.NDArray[np.float32]:
    """Points of which a tenth are near one of 200 templates, as re-posts are."""
    templates = np.random.default_rng(5).normal(size=(200, 12))
    points = rng.normal(size=(rows, 12))
    posted = rng.random(rows) < 0.1
    points[posted] = templates[rng.integers(200, size=rows)[posted]]
    return (points + 0.02 * rng.normal(size=points.shape)).astype(np.float32)


def sides(batch: npt.NDArray[np.float32], seed: int) -> Pair:
    rng = np.random.default_rng(seed)
    known = messages(rng, 700)
    return Pair(rng.permutation(batch), known, None, None, (), 2.5e-4, seed)


def test_floods_of_four_copies_each_are_found_among_templates() -> None:
    rng = np.random.default_rng(1)
    batch = messages(rng, 400)
    for flood in range(6):
        seeds = batch[4 * flood] + 0.02 * rng.normal(size=(4, 12))
        batch[4 * flood : 4 * flood + 4] = seeds
    found = near_duplicates(sides(batch, 2))
    assert found.p_value <= 2.5e-4
    assert found.members is not None
    assert 20 <= found.members.sum() <= 60


def test_templates_on_both_sides_are_no_flood() -> None:
    p_values = []
    for seed in range(24):
        batch = messages(np.random.default_rng(100 + seed), 400)
        p_values.append(near_duplicates(sides(batch, seed)).p_value)
    assert sum(p <= 0.05 for p in p_values) <= 4
    assert min(p_values) > 1e-3
