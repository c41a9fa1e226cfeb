"""Repeated record ids are found whether the ids are compared or their hashes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazaretto.contract import _repeats
from lazaretto.contract._repeats import Repeats, repeated_numbers


def found(chunks: list[list[str | None]]) -> list[bool]:
    repeats = Repeats()
    for chunk in chunks:
        repeats.take(pa.array(chunk, pa.string()))
    return repeats.found().tolist()


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=8), min_size=1, max_size=5
    ).filter(any)
)
def test_few_and_many_ids_give_the_same(chunks: list[list[str | None]]) -> None:
    ids = [name for chunk in chunks for name in chunk]
    expected = [ids.count(name) > 1 for name in ids]
    assert found(chunks) == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_repeats, "FEW_ROWS", 3)  # from the middle of the batch on, hashes
        assert found(chunks) == expected


def test_long_ids_are_hashed_though_they_are_few() -> None:
    ids = ["x" * 3_000_000 + str(number % 5) for number in range(6)]
    assert found([[name] for name in ids]) == [True, False, False, False, False, True]
    assert np.sum(found([ids[:5]])) == 0


@settings(deadline=None)
@given(st.lists(st.one_of(st.integers(0, 4), st.integers(2**64 - 4, 2**64 - 1)), max_size=20))
def test_numbers_that_repeat_are_found_wherever_they_lie(numbers: list[int]) -> None:
    marked = repeated_numbers(np.array(numbers, dtype=np.uint64)).tolist()
    assert marked == [numbers.count(one) > 1 for one in numbers]
