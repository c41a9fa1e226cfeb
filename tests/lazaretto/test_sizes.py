"""Which batches a reference can judge: the figure, against every size tried one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from many import examples
from tests.lazaretto.detection_data import classes, policy, table

import lazaretto as lz
from lazaretto.screen import sizes_for
from lazaretto.stats.conformal import Calibration
from lazaretto.stats.sizes import judgeable_sizes, min_detectable, wanted_records

if TYPE_CHECKING:
    from collections.abc import Callable

Rule = Literal["evidence", "rate"]
TRIED = 120


def _one_by_one(
    rows: tuple[int, ...], share: float, rate: float, rule: Rule, delta: float | None
) -> Callable[[int], bool]:
    """Whether a batch of so many records of the weakest group is judged, as screening asks it."""
    weakest = rows.index(min(rows))

    def judged(records: int) -> bool:
        known = Calibration(rows, np.full(records, weakest, dtype=np.int64), delta)
        seen = min_detectable(known, rate=rate, alpha=0.001, rule=rule)
        return seen <= wanted_records(share, records)

    return judged


@settings(deadline=None, max_examples=examples(40))
@given(
    st.lists(st.integers(30, 12_000), min_size=1, max_size=3).map(tuple),
    st.sampled_from([0.002, 0.01, 0.05, 0.1, 0.3, 0.7]),
    st.sampled_from([0.001, 0.01, 0.05]),
    st.sampled_from(["evidence", "rate"]),
    st.sampled_from([None, 0.1]),
)
@example((1000,), 0.05, 0.01, "evidence", None)
@example((30,), 0.05, 0.01, "evidence", None)
def test_the_figure_is_what_screening_does_at_every_size(
    rows: tuple[int, ...], share: float, rate: float, rule: Rule, delta: float | None
) -> None:
    sizes = judgeable_sizes(rows, share=share, rate=rate, alpha=0.001, rule=rule, delta=delta)
    judged = _one_by_one(rows, share, rate, rule, delta)
    assert all(judged(records) for records in range(1, min(sizes.tiny, TRIED) + 1))
    if sizes.smallest is None:
        assert not judged(1_000_000)
        return
    if sizes.smallest > 1:
        assert not judged(sizes.smallest - 1)
        assert sizes.tiny < sizes.smallest
    tried = TRIED if sizes.smallest < 10_000 else 3
    assert all(judged(records) for records in range(sizes.smallest, sizes.smallest + tried))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (30, "no batch at 5 %"),
        (100, "only batches of up to 1 record at 5 %"),
        (1000, "batches from 41 records at 5 %, and those of up to 10 records"),
        (5000, "batches of any size at 5 %"),
    ],
)
def test_the_figure_in_words(rows: int, words: str) -> None:
    assert judgeable_sizes((rows,), share=0.05, rate=0.01, alpha=0.001).words == words


def test_an_abstention_says_the_same_figure_and_what_to_do() -> None:
    rng = np.random.default_rng(1)
    reference = lz.Reference.fit(table(*classes(rng, 900)), policy())
    sizes = sizes_for(reference, policy())
    assert sizes is not None
    assert sizes.smallest is not None
    few = lz.screen(table(*classes(rng, sizes.smallest - 1)), reference, policy())
    assert few.verdict is lz.Verdict.ABSTAIN
    assert f"This reference can judge {sizes.words}." in str(few.note)
    assert f"deliver at least {sizes.smallest} records at once" in str(few.note)
    enough = lz.screen(table(*classes(rng, sizes.smallest)), reference, policy())
    assert enough.verdict is not lz.Verdict.ABSTAIN
    tiny = lz.screen(table(*classes(rng, sizes.tiny)), reference, policy())
    assert tiny.verdict is not lz.Verdict.ABSTAIN
