"""The rules of one table, without a database: held against a table that is played through."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from many import examples

from lazaretto.lineage.claims.bits import Basis, Gap, Why
from lazaretto.lineage.claims.timeline import (
    EVER,
    NEVER,
    TOLERANCE,
    Concluded,
    History,
    Reader,
    Replaces,
    TableState,
    conclude,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

SECOND = 1_000_000
READER = 901


def _state(place: int, at: int, **changes: object) -> TableState:
    """The state that run `place` made between two seconds before `at` and `at`."""
    known = TableState(
        f"run:{place}", 2 * place, 2 * place + 1, None, (at - 2) * SECOND, at * SECOND, "spark"
    )
    return replace(known, **changes)  # type: ignore[arg-type]


def _reader(at: int, clock: str = "spark", **changes: object) -> Reader:
    known = Reader(READER, at * SECOND, at * SECOND, clock)
    return replace(known, **changes)  # type: ignore[arg-type]


def _held(found: Concluded, end: int, most: Basis = Basis.INFERRED) -> set[int]:
    """All states that links of a basis lead from to an end, over the others; itself included."""
    seen: set[object] = {end}
    frontier: list[object] = [end]
    while frontier:
        at = frontier.pop()
        for link in found.links:
            if link.dst == at and link.basis <= most and link.src not in seen:
                seen.add(link.src)
                frontier.append(link.src)
    return {each for each in seen if isinstance(each, int)} - {READER}


def _why(found: Concluded) -> set[Why]:
    return {link.why for link in found.links if link.dst == READER}


def test_a_state_holds_what_was_before_and_a_reader_the_last_before_it() -> None:
    states = [_state(1, 10), _state(2, 20), _state(3, 40)]
    found = conclude(states, [_reader(30)])
    assert _held(found, READER) == {2, 4}
    assert _held(found, READER, Basis.POSSIBLE) == {2, 4}
    assert (_why(found), found.gaps) == ({Why.LAST_STATE}, [])


def test_an_overwrite_lets_go_of_what_was_before() -> None:
    states = [_state(1, 10), _state(2, 20, replaces=Replaces.YES)]
    assert _held(conclude(states, [_reader(30)]), READER, Basis.POSSIBLE) == {4}


def test_a_dropped_table_holds_nothing() -> None:
    states = [_state(1, 10), _state(2, 20, node=None, replaces=Replaces.YES)]
    found = conclude(states, [_reader(30)])
    gone = [(READER, Gap.TABLE, 30 * SECOND)]
    assert (_held(found, READER, Basis.POSSIBLE), found.gaps) == (set(), gone)
    again = conclude([*states, _state(3, 25, replaces=Replaces.CREATED)], [_reader(30)])
    assert _held(again, READER, Basis.POSSIBLE) == {6}


def test_create_is_sure_of_a_new_table_alone() -> None:
    first = conclude([_state(1, 10, replaces=Replaces.CREATED)], [_reader(30)])
    assert _held(first, READER) == {2}
    states = [_state(1, 10), _state(2, 20, replaces=Replaces.CREATED)]
    found = conclude(states, [_reader(30)])
    assert (_held(found, READER), _held(found, READER, Basis.POSSIBLE)) == ({4}, {2, 4})


@pytest.mark.parametrize("replaces", list(Replaces))
def test_what_an_open_run_may_have_done_is_possible(replaces: Replaces) -> None:
    lost = _state(2, 20, happened=False, end=NEVER, replaces=replaces)
    found = conclude([_state(1, 10), lost], [_reader(100)])
    assert 4 not in _held(found, READER)
    assert _held(found, READER, Basis.POSSIBLE) == {2, 4}
    assert (2 in _held(found, READER)) == (replaces is Replaces.NO)


def test_between_clocks_ten_seconds_decide() -> None:
    states = [_state(1, 10), _state(2, 100, replaces=Replaces.YES)]
    for at, sure, possible in (
        (100 + 11, {4}, {4}),
        (100 + 9, set(), {2, 4}),
        (98 - 9, set(), {2, 4}),
        (98 - 11, {2}, {2}),
    ):
        found = conclude(states, [_reader(at, "flink")])
        assert (_held(found, READER), _held(found, READER, Basis.POSSIBLE)) == (sure, possible)
    same = conclude(states, [_reader(97)])
    assert _held(same, READER, Basis.POSSIBLE) == {2}


def test_appends_at_the_same_time_do_no_harm_to_what_was_before() -> None:
    states = [_state(1, 10), _state(2, 100)]
    found = conclude(states, [_reader(100, "flink")])
    assert (_held(found, READER), _held(found, READER, Basis.POSSIBLE)) == ({2}, {2, 4})


def test_versions_that_count_follow_each_other_whatever_their_clocks_say() -> None:
    states = [_state(1, 500, number=1), _state(2, 10, number=2), _state(3, 300, number=3)]
    found = conclude(states, [])
    assert _held(found, 6) == {2, 4, 6}
    assert _held(found, 4) == {2, 4}
    assert [state.number for state in found.order] == [1, 2, 3]


def test_a_version_before_one_that_was_there_was_there_too_whatever_its_clock_says() -> None:
    """Who reads after version 3 is not said to read what version 1 held before it was replaced."""
    states = [
        _state(1, 0, number=1),
        _state(2, 55, number=2, clock="flink"),
        _state(3, 60, number=3, replaces=Replaces.CREATED),
    ]
    found = conclude(states, [_reader(61)])
    assert _held(found, READER) == {6}
    assert _held(found, READER, Basis.POSSIBLE) == {2, 4, 6}
    # And version 2 came later if version 1 did.
    after = [_state(1, 0, number=1), _state(2, -45, number=2, clock="flink")]
    later = conclude(after, [_reader(-50)])
    assert _held(later, READER, Basis.POSSIBLE) == set()


def test_a_version_that_nobody_made_may_hold_all_that_was_before() -> None:
    unknown = _state(2, 20, run=0, start=EVER, clock="", number=2, replaces=Replaces.MAYBE)
    found = conclude([_state(1, 10, number=1), unknown, _state(3, 30, number=3)], [])
    assert _held(found, 4) == {4}
    assert _held(found, 4, Basis.POSSIBLE) == {2, 4}
    assert _held(found, 6) == {4, 6}
    assert _held(found, 6, Basis.POSSIBLE) == {2, 4, 6}


def test_who_reads_what_nobody_wrote_is_a_gap() -> None:
    found = conclude([], [_reader(30)])
    assert (found.links, found.gaps) == ([], [(READER, Gap.TABLE, 30 * SECOND)])
    late = conclude([_state(1, 60)], [_reader(30)])
    assert (late.links, late.gaps) == ([], [(READER, Gap.TABLE, 30 * SECOND)])
    assert conclude([], [_reader(30, gap=False)]).gaps == []


def test_who_only_measures_learns_nothing() -> None:
    found = conclude([_state(1, 10)], [_reader(30, measures=True)])
    assert [(link.src, link.basis) for link in found.links] == [(2, Basis.MEASURED)]


def test_a_run_that_reads_and_writes_does_not_read_itself() -> None:
    own = _state(2, 30, start=20 * SECOND)
    reader = Reader(own.run, 20 * SECOND, 30 * SECOND, "spark")
    found = conclude([_state(1, 10), own], [reader])
    assert {link.src for link in found.links if link.dst == own.run} == {2}


@dataclass(frozen=True)
class _Write:
    """What happened at one second: an append, an overwrite or a drop by a run of that number."""

    what: str
    number: bool


_writes = st.lists(
    st.builds(_Write, st.sampled_from(["append", "append", "overwrite", "drop"]), st.booleans()),
    min_size=1,
    max_size=8,
)


def _played(writes: Iterable[_Write]) -> list[set[int]]:
    """What the table held after each write, by the numbers of the runs."""
    held: set[int] = set()
    found = []
    for place, write in enumerate(writes, start=1):
        if write.what == "drop":
            held = set()
        else:
            held = (held if write.what == "append" else set()) | {2 * place}
        found.append(held)
    return found


@given(writes=_writes, counted=st.booleans(), gap=st.integers(3, 40), data=st.data())
@settings(max_examples=examples(300), deadline=None)
def test_without_losses_the_links_are_what_the_states_held(
    writes: list[_Write], counted: bool, gap: int, data: st.DataObject
) -> None:
    """On one clock; sure links are exact, and nothing more is possible."""
    played = _played(writes)
    states = []
    for place, write in enumerate(writes, start=1):
        replaces = Replaces.NO if write.what == "append" else Replaces.YES
        node = None if write.what == "drop" else 2 * place
        number = place if counted and write.what != "drop" else None
        states.append(_state(place, gap * place, replaces=replaces, node=node, number=number))
    at = data.draw(st.integers(1, len(writes)), label="the reader came after")
    reader = _reader(gap * at + gap - 1 if gap > 3 else gap * at, start=(gap * at + 0) * SECOND + 1)
    reader = replace(reader, end=reader.start)
    found = conclude(data.draw(st.permutations(states), label="order"), [reader])
    for place, held in enumerate(played, start=1):
        if writes[place - 1].what != "drop":
            for most in (Basis.INFERRED, Basis.POSSIBLE):
                assert _held(found, 2 * place, most) == held
    for most in (Basis.INFERRED, Basis.POSSIBLE):
        assert _held(found, READER, most) == played[at - 1]
    assert bool(found.gaps) == (not played[at - 1])  # who reads what is gone read something else


@given(
    writes=_writes,
    lost=st.lists(st.integers(1, 8), max_size=3),
    clocks=st.lists(st.sampled_from(["spark", "flink"]), min_size=8, max_size=8),
    skew=st.lists(st.integers(-4, 4), min_size=8, max_size=8),
    gap=st.sampled_from([1, 4, 15]),
    at=st.integers(1, 8),
)
@settings(max_examples=examples(300), deadline=None)
def test_with_clocks_that_differ_and_lost_ends_nothing_is_missed_and_nobody_is_accused(
    writes: list[_Write],
    lost: list[int],
    clocks: list[str],
    skew: list[int],
    gap: int,
    at: int,
) -> None:
    """Moments are those of a clock that goes wrong by less than half of what is tolerated."""
    at = min(at, len(writes))
    played = _played(writes)
    wrong = {clock: skew[n] for n, clock in enumerate(("spark", "flink"))}
    states = []
    for place, write in enumerate(writes, start=1):
        replaces = Replaces.NO if write.what == "append" else Replaces.YES
        moment = (gap * place + wrong[clocks[place - 1]]) * SECOND
        node = None if write.what == "drop" else 2 * place
        state = _state(place, 0, start=moment - 1, end=moment, clock=clocks[place - 1], node=node)
        if place in lost and write.what != "drop":
            end = NEVER
            state = replace(state, happened=False, end=end, replaces=Replaces.MAYBE)
        else:
            state = replace(state, replaces=replaces)
        states.append(state)
    reads = gap * at * SECOND + SECOND // 2
    found = conclude(states, [Reader(READER, reads, reads, "third")])
    held = played[at - 1]
    possible = _held(found, READER, Basis.POSSIBLE)
    gaps = any(node == READER for node, _, _ in found.gaps)
    assert held <= possible or gaps
    assert _held(found, READER) <= held
    named = [replace(state, key=f"v{state.key}") for state in states]
    found = conclude(named, [])
    for place in range(1, len(writes) + 1):
        if states[place - 1].node is not None and states[place - 1].happened:
            assert played[place - 1] <= _held(found, 2 * place, Basis.POSSIBLE)


def test_histories_are_written_as_far_as_they_are_used() -> None:
    """A thousand states of which one is in doubt are as many links, not their square."""
    states = [_state(n, 10 * n) for n in range(1, 1_001)]
    states[500] = replace(states[500], replaces=Replaces.MAYBE)
    found = conclude(states, [_reader(20_000)])
    assert len(found.links) < 4_000
    assert sum(1 for link in found.links if isinstance(link.dst, History)) < 1_200
    assert TOLERANCE == 10 * SECOND
