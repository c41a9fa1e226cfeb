"""Small batches judged together: what is promised to clean ones, what poison cannot do.

Scores of clean records and of calibration rows are drawn from one distribution, which is all that
conformal p-values ask for.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from many import examples

from lazaretto.stats.conformal import Calibration, conformal_p_values, suspects
from lazaretto.stats.pooled import Part, joined, long_look, members_needed
from lazaretto.stats.sizes import judgeable_sizes, min_detectable, wanted_records

if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS, SHARE, RATE, ALPHA = 1000, 0.05, 0.01, 0.001


def _known(records: int) -> Calibration:
    return Calibration((ROWS,), np.zeros(records, dtype=np.int64))


def _part(p_value: np.ndarray, held: np.ndarray | None = None) -> Part:
    none = np.zeros(len(p_value), dtype=bool)
    return Part(p_value, np.zeros(len(p_value), dtype=np.int64), none if held is None else held)


def _clean(rng: np.random.Generator, calibration: np.ndarray, records: int) -> np.ndarray:
    return conformal_p_values([rng.normal(size=records)], [calibration])


def _extreme(p_value: np.ndarray, count: int) -> np.ndarray:
    """The first records beyond all calibration rows."""
    changed = p_value.copy()
    changed[:count] = 1 / (ROWS + 1)
    return changed


def _needed(own: Part, others: Sequence[Part], rate: float = RATE) -> int | None:
    return members_needed(_known(len(own)), others, share=SHARE, rate=rate, alpha=ALPHA)


def _judged(own: Part, others: Sequence[Part], rate: float = RATE) -> np.ndarray | None:
    """What is held of a batch, as screening does it; None where it waits."""
    together = _needed(own, others, rate)
    if together is None:
        return None
    pool = joined([own, *others[:together]])
    flagged = suspects(pool.p_value, _known(len(pool)), rate=rate, alpha=ALPHA)
    return flagged[: len(own)]


@pytest.mark.parametrize(("records", "rate"), [(20, 0.01), (30, 0.05), (7, 0.01)])
def test_a_clean_feed_of_small_batches_comes_back_whole_at_the_stated_rate(
    records: int, rate: float
) -> None:
    """Over many references and feeds: batches of which anything is held, and records held."""
    rng = np.random.default_rng(7)
    batches = held_batches = held_records = fired = 0
    per_reference = []
    for _ in range(60):
        calibration = rng.normal(size=ROWS)
        earlier: list[Part] = []
        before = held_batches
        for _ in range(20):
            own = _part(_clean(rng, calibration, records))
            held = _judged(own, earlier, rate)
            if held is not None:
                batches += 1
                held_batches += bool(held.any())
                held_records += int(held.sum())
                own = _part(own.p_value, held)
                first = 1 + (_needed(own, earlier, rate) or 0)
                look = long_look([own, *earlier], _known(records), first=first, rate=rate)
                fired += look.p_value <= ALPHA
            earlier = [own, *earlier][:20]
        per_reference.append(held_batches - before)
    assert batches > 1000
    # Batches of one feed share a calibration and records: their spread is taken from the feeds.
    noise = 4 * float(np.std(per_reference)) * sqrt(len(per_reference))
    assert held_batches <= (rate + ALPHA) * batches + noise + 1
    assert held_records <= rate * batches * records
    assert fired <= ALPHA * batches + 4 * sqrt(ALPHA * batches) + 2


def test_a_pool_is_no_larger_than_it_must_be() -> None:
    rng = np.random.default_rng(8)
    calibration = rng.normal(size=ROWS)
    parts = [_part(_clean(rng, calibration, 20)) for _ in range(9)]
    sizes = judgeable_sizes((ROWS,), share=SHARE, rate=RATE, alpha=ALPHA)
    assert sizes.smallest is not None
    assert _needed(parts[0], parts[1:]) == -(-sizes.smallest // 20) - 1
    assert _needed(parts[0], parts[1:2]) is None
    assert _needed(_part(parts[0].p_value[: sizes.tiny]), parts[1:]) == 0


@settings(deadline=None, max_examples=examples(60))
@given(
    st.integers(1, 40),
    st.lists(st.integers(1, 40), max_size=12),
    st.integers(30, 3000),
    st.integers(0, 2**32 - 1),
)
def test_more_clean_batches_behind_a_pool_change_nothing_and_the_share_is_seen(
    records: int, others: list[int], rows: int, seed: int
) -> None:
    """Who swamps a source with clean rows gains nothing: the pool ends where it suffices."""
    rng = np.random.default_rng(seed)
    calibration = rng.normal(size=rows)
    own = Calibration((rows,), np.zeros(records, dtype=np.int64))
    parts = [_part(_clean(rng, calibration, count)) for count in others]
    asked = {"share": SHARE, "rate": RATE, "alpha": ALPHA}
    needed = members_needed(own, parts, **asked)
    if needed is None:
        return
    swamp = [_part(_clean(rng, calibration, 39)) for _ in range(5)]
    assert members_needed(own, [*parts, *swamp], **asked) == needed
    size = records + sum(others[:needed])
    known = Calibration((rows,), np.zeros(size, dtype=np.int64))
    seen = min_detectable(known, rate=RATE, alpha=ALPHA)
    assert seen <= wanted_records(SHARE, size)
    # As many extreme records as the share asks for are held, whichever batches they are in.
    p_value = np.full(size, 0.5)
    p_value[rng.choice(size, wanted_records(SHARE, size), replace=False)] = 1 / (rows + 1)
    held = suspects(p_value, known, rate=RATE, alpha=ALPHA)
    assert held.sum() == wanted_records(SHARE, size)


def test_poison_that_is_split_over_deliveries_is_held_from_the_third_on() -> None:
    """One extreme record in each delivery of twenty: two get by, and no more."""
    rng = np.random.default_rng(9)
    calibration = rng.normal(size=ROWS)
    earlier = [_part(_clean(rng, calibration, 20)) for _ in range(5)]
    held = []
    for _ in range(12):
        own = _part(_extreme(_clean(rng, calibration, 20), 1))
        found = _judged(own, earlier)
        assert found is not None
        held.append(bool(found[0]))
        earlier = [_part(own.p_value, found), *earlier]
    assert held == [False] * 2 + [True] * 10


def test_poison_too_thin_for_any_pool_is_seen_over_a_longer_stretch() -> None:
    """Four percent in each delivery, and five are asked for: no pool shows it, the stretch does."""
    rng = np.random.default_rng(10)
    calibration = rng.normal(size=ROWS)
    parts: list[Part] = []
    alarms = []
    for _ in range(20):
        own = _part(_extreme(np.maximum(_clean(rng, calibration, 25), 0.02), 1))
        found = _judged(own, parts)
        own = own if found is None else _part(own.p_value, found)
        look = long_look([own, *parts], _known(25), first=1 + (_needed(own, parts) or 0), rate=RATE)
        alarms.append(look.p_value <= ALPHA)
        parts = [own, *parts]
    assert not any(part.held.any() for part in parts)
    assert alarms[-1]
    assert not any(alarms[:2])


def test_a_batch_that_was_found_out_does_not_speak_against_the_next() -> None:
    rng = np.random.default_rng(11)
    calibration = rng.normal(size=ROWS)
    earlier = [_part(_clean(rng, calibration, 20)) for _ in range(4)]
    bad = _part(_extreme(_clean(rng, calibration, 20), 15))
    held = _judged(bad, earlier)
    assert held is not None
    assert held[:15].all()
    after = _part(_clean(rng, calibration, 20))
    look = long_look([after, _part(bad.p_value, held), *earlier], _known(20), first=3, rate=RATE)
    assert look.p_value > ALPHA
    # Told of a batch of which nothing was held, it does speak.
    free = _part(bad.p_value)
    assert long_look([after, free, *earlier], _known(20), first=3, rate=RATE).p_value <= ALPHA


def test_groups_are_judged_by_the_weakest() -> None:
    rows = (2000, 400)
    own = Calibration(rows, np.array([0] * 18 + [1] * 2))
    other = Part(np.full(20, 0.5), np.array([0] * 20), np.zeros(20, dtype=bool))
    asked = {"share": SHARE, "rate": RATE, "alpha": ALPHA}
    mixed = members_needed(own, [other] * 10, **asked)
    pure = members_needed(Calibration(rows, np.zeros(20, dtype=np.int64)), [other] * 10, **asked)
    assert mixed is not None
    assert pure is not None
    assert mixed > pure
