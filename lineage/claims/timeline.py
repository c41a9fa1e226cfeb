"""What each state of a table holds, and what each reader saw. Long: all rules of one table.

The rules are told in `docs/explanation/lineage-rules.md`. States are put in order. Each holds what
the one before held, unless it replaced that. Where the order, an end or an origin is not known,
links lead through the table's *history*: all that it ever held up to a state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from lazaretto.lineage.claims.bits import Basis, Gap, Why

TOLERANCE = 10_000_000
"""Microseconds by which two clocks may differ."""
EVER, NEVER = -(2**62), 2**62
"""A start, and an end, that is not known."""
_FEW = 20
"""States that links lead from one by one; from more they lead through the history."""


class Replaces(Enum):
    """Whether a state lets go of what was there before."""

    NO = 0
    YES = 1
    MAYBE = 2
    CREATED = 3
    """Yes, unless the table had a state already."""


@dataclass(frozen=True, slots=True)
class TableState:
    """A state of a table.

    Attributes:
        key: what it is called, within the table.
        node: end of links that it is; None: the table was dropped, and holds nothing.
        run: end of links of the run that made it; 0: none is known.
        number: of a version that counts; of several that are missing, the last.
        start: microseconds: it was not made before.
        end: nor after.
        clock: whose clock says so; empty: no single one.
        happened: it is known to have been made.
        replaces: whether it lets go of what was before.
        missing: numbers are left out here, and nobody told of the version.
        passed: what a stream has passed on by a moment: what it leaves at its end has that, too.
        seen: microseconds: somebody had read it by then, by its name, although its run went on.
    """

    key: str
    node: int | None
    run: int
    number: int | None
    start: int
    end: int
    clock: str
    happened: bool = True
    replaces: Replaces = Replaces.NO
    missing: bool = False
    passed: bool = False
    seen: int = NEVER


@dataclass(frozen=True, slots=True)
class Reader:
    """A run that read the table without naming a version.

    Attributes:
        node: end of links that it is.
        start: it did not read before.
        end: nor after.
        clock: whose clock says so.
        gap: whether it is a gap that no state is known; it is none where a partition has some.
        measures: it only measured: nothing was learned.
        summed: it read a part of it, and which is not kept.
        passes: it is the moment of a stream: what the table held at the start went on.
        run: the run that it is, or is a moment of.
    """

    node: int
    start: int
    end: int
    clock: str
    gap: bool = True
    measures: bool = False
    summed: bool = False
    passes: bool = False
    run: int = 0


class History(NamedTuple):
    """All that the table held up to a state, by the state's place in `Concluded.order`."""

    at: int


class Found(NamedTuple):
    """A link that a rule leads to."""

    src: int | History
    dst: int | History
    basis: Basis
    why: Why


@dataclass(slots=True)
class Concluded:
    """What the rules lead to.

    Attributes:
        order: the states, in order.
        links: between states, histories and readers.
        gaps: nodes that something is not known of, with the kind of gap and until when something
            may have come in.
    """

    order: list[TableState]
    links: list[Found] = field(default_factory=list)
    gaps: list[tuple[int, str, int]] = field(default_factory=list)

    def link(self, src: int | History | None, dst: int | None, basis: Basis, why: Why) -> None:
        """Adds a link, unless one end holds nothing."""
        if src is not None and dst is not None and src != dst:
            self.links.append(Found(src, dst, basis, why))


class _Place(NamedTuple):
    """How it stands after a state.

    Attributes:
        last: the last that is known to be there.
        since: its place; what comes after it is in doubt.
        broken: whether something before `last` may have come after it.
    """

    last: TableState | None
    since: int
    broken: bool


def conclude(states: list[TableState], readers: list[Reader]) -> Concluded:
    """Applies the rules to one table.

    Args:
        states: its states, in any order.
        readers: those who read it without naming a version.

    Examples:
        >>> one = TableState("1", 2, 1, 1, 0, 0, "spark")
        >>> two = TableState("2", 4, 3, 2, 5, 5, "spark")
        >>> [(link.src, link.dst) for link in conclude([two, one], []).links]
        [(2, 4)]
    """
    order = _ordered(states)
    concluded = Concluded(order)
    mixed = _mixed(order)
    places = _chain(concluded, mixed)
    for reader in readers:
        _read(concluded, places, mixed, reader)
    _write_history(concluded)
    return concluded


def surely_before(one: TableState, other: TableState | Reader) -> bool:
    """Whether a state was there before another, or before somebody read."""
    if isinstance(other, TableState) and one.number is not None and other.number is not None:
        return one.number < other.number
    return one.end + _tolerance(one.clock, other.clock) < other.start


def surely_after(one: TableState, other: TableState | Reader) -> bool:
    """Whether a state came after another, or after somebody read."""
    if isinstance(other, TableState) and one.number is not None and other.number is not None:
        return one.number > other.number
    return other.end + _tolerance(one.clock, other.clock) < one.start


def begun_after(one: TableState, reader: Reader) -> bool:
    """Whether a state came surely after somebody began to read."""
    return reader.start + _tolerance(one.clock, reader.clock) < one.start


def _tolerance(one: str, other: str) -> int:
    return 0 if one and one == other else TOLERANCE


def _ordered(states: list[TableState]) -> list[TableState]:
    """By number where versions count, the others among them by time; then by name."""
    at: dict[str, int] = {}
    latest = EVER
    numbered = [state for state in states if state.number is not None]
    for state in sorted(numbered, key=lambda s: s.number or 0):
        latest = max(latest, _first(state))
        at[state.key] = latest
    return sorted(
        states,
        key=lambda s: (at.get(s.key, _first(s)), s.number or 0, not s.passed, s.start, s.key),
    )


def _first(state: TableState) -> int:
    """When a state was there: what goes on may have written from its start on."""
    return state.start if state.end >= NEVER else state.end


def _earliest(order: list[TableState]) -> list[int]:
    """The earliest start from each place on."""
    starts = [NEVER] * (len(order) + 1)
    for place in range(len(order) - 1, -1, -1):
        starts[place] = min(starts[place + 1], order[place].start)
    return starts


def _mixed(order: list[TableState]) -> list[bool]:
    """States that may have come before or after one that replaced all."""
    mixed = [False] * len(order)
    starts = _earliest(order)
    goes_on = numbered = False  # something before has no end
    for place, state in enumerate(order):
        if state.end >= NEVER:
            goes_on, numbered = (
                goes_on or state.number is None,
                numbered or state.number is not None,
            )
        if state.replaces is Replaces.NO:
            continue
        mixed[place] |= goes_on or (numbered and state.number is None)
        for before in range(place - 1, -1, -1):
            if not (surely_before(order[before], state) or _leads_to(order[before], state)):
                mixed[before] = mixed[place] = True
            elif order[before].end + TOLERANCE < state.start:
                break  # all others ended earlier
        for after in range(place + 1, len(order)):
            if state.end + TOLERANCE < starts[after]:
                break
            if not surely_after(order[after], state):
                mixed[after] = mixed[place] = True
    return mixed


def _leads_to(one: TableState, other: TableState) -> bool:
    """Whether a state is one on a stream's way to what it leaves at its end."""
    return one.passed and not other.passed and one.run == other.run


def _chain(concluded: Concluded, mixed: list[bool]) -> list[_Place]:
    places: list[_Place] = []
    now = _Place(None, -1, broken=False)
    starts = _earliest(concluded.order)
    for place, state in enumerate(concluded.order):
        goes_on = state.end >= NEVER and state.number is None
        replaces = _replaces(state, now.last, first=place == 0)
        if state.number is None and replaces is not Replaces.YES:
            latest = _latest_before(concluded.order, starts, place)
            _may_hold_later(concluded, place, latest, mixed)
        if not state.happened or goes_on:
            if place and replaces is not Replaces.YES and not _is_nameless(state):
                # Who reads it by its name knows that it is there, but not what it was added to.
                _may_hold(concluded, now, place, mixed, Why.NOT_FINISHED)
            now = now._replace(broken=now.broken or state.replaces is not Replaces.NO)
            places.append(now)
            continue
        if replaces is not Replaces.YES:
            early = now.last is not None and state.seen <= now.last.end + TOLERANCE
            solid = replaces is Replaces.NO and not (mixed[place] or now.broken)
            if solid and (last := _first_seen(concluded.order, place) if early else now.last):
                concluded.link(last.node, state.node, Basis.INFERRED, Why.APPENDED)
            if place and (now.since < place - 1 or early or not solid):
                unsure = mixed[place] or now.broken or early
                why = Why.ORDER_UNKNOWN if unsure else Why.HISTORY
                _may_hold(concluded, now, place, mixed, why)
        now = _Place(state, place, mixed[place])
        places.append(now)
    return places


def _first_seen(order: list[TableState], place: int) -> TableState | None:
    """The last state that one which was read before its run ended is known to have added to."""
    for state in reversed(order[:place]):
        if state.happened and state.node is not None and surely_before(state, order[place]):
            return state
        if state.replaces is not Replaces.NO:
            break
    return None


def _may_hold(concluded: Concluded, now: _Place, place: int, mixed: list[bool], why: Why) -> None:
    """Links what a state may hold of what was there before it."""
    order = concluded.order
    state, since = order[place], order[max(0, now.since) : place]
    # Nobody tells when a version was made that no run is known of.
    if now.broken or mixed[place] or not state.run or len(since) > _FEW:
        concluded.link(History(place - 1), state.node, Basis.POSSIBLE, why)
        return
    for before in since:
        concluded.link(before.node, state.node, Basis.POSSIBLE, why)


def _may_hold_later(concluded: Concluded, place: int, latest: int, mixed: list[bool]) -> None:
    """Links what a state may hold of what is placed behind it, and may have been there before."""
    order = concluded.order
    state, later = order[place], order[place + 1 : latest + 1]
    if not later:
        return
    if mixed[place] or not state.run or state.end >= NEVER or len(later) > _FEW:
        concluded.link(History(latest), state.node, Basis.POSSIBLE, Why.ORDER_UNKNOWN)
        return
    for other in later:
        concluded.link(other.node, state.node, Basis.POSSIBLE, Why.ORDER_UNKNOWN)


def _latest_before(order: list[TableState], starts: list[int], place: int) -> int:
    """The last place of a state that may have been there before one that is placed before it.

    Only what is called by a name that does not count asks for that: who reads a table without one
    sees for himself what may have been there.
    """
    state, latest = order[place], place
    if _is_nameless(state):
        return place
    if state.end >= NEVER:
        return len(order) - 1
    for after in range(place + 1, len(order)):
        if state.end + TOLERANCE < starts[after]:
            break
        if not surely_after(order[after], state):
            latest = after
    return latest


def _is_nameless(state: TableState) -> bool:
    """Whether no event names it, so that nobody reads it by its name."""
    return state.key.startswith("run:")


def _replaces(state: TableState, last: TableState | None, *, first: bool) -> Replaces:
    if state.replaces is Replaces.CREATED:
        new = first or (last is not None and last.node is None)
        return Replaces.YES if new else Replaces.MAYBE
    return state.replaces


def _read(concluded: Concluded, places: list[_Place], mixed: list[bool], reader: Reader) -> None:
    order = concluded.order
    there, later = _around(order, reader)
    before = -1  # all up to here were there before, or go on
    for at, state in enumerate(order):
        if there[at]:
            before = at
        elif state.end < NEVER:
            break
    until = len(order) - 1  # all behind this came after
    while until > before and later[until]:
        until -= 1
    own = reader.run or reader.node
    others = [at for at in range(until + 1) if order[at].run != own and not there[at]]
    if before < 0 and not others:
        if reader.gap:
            concluded.gaps.append((reader.node, Gap.TABLE, reader.end))
        return
    place = places[before] if before >= 0 else _Place(None, -1, broken=True)
    harmless = all(
        (order[at].replaces is Replaces.NO and not mixed[at])
        or (reader.passes and begun_after(order[at], reader))
        for at in others
    )
    sure = Basis.MEASURED if reader.measures else Basis.INFERRED
    if reader.summed and not reader.measures:
        sure = Basis.POSSIBLE
    doubt = place.since < before
    gone = place.last is not None and place.last.node is None
    if gone and reader.gap and not (others or place.broken or doubt):
        concluded.gaps.append((reader.node, Gap.TABLE, reader.end))
    if place.last is not None and not place.broken and harmless:
        concluded.link(place.last.node, reader.node, sure, Why.LAST_STATE)
    if reader.measures or not (others or place.broken or doubt):
        return
    why = Why.ORDER_UNKNOWN if others else Why.NOT_FINISHED
    around = [s for s in order[max(0, place.since) : until + 1] if s.run != own]
    around += [order[at] for at in others if at < place.since]
    if place.broken or len(around) > _FEW:
        concluded.link(History(until), reader.node, Basis.POSSIBLE, why)
        return
    # What was only added to holds at least what one of the others does.
    one_of = [s for s in around if s is place.last or s.replaces is not Replaces.NO]
    unsure = harmless or reader.summed or reader.end >= NEVER
    unsure |= place.last is None or any(state.node is None for state in one_of)
    for state in around:
        each = why if unsure or state not in one_of else Why.ONE_OF
        concluded.link(state.node, reader.node, Basis.POSSIBLE, each)


def _around(order: list[TableState], reader: Reader) -> tuple[list[bool], list[bool]]:
    """Which states were surely there before somebody read, and which came surely after.

    Versions that count are in order whatever clocks say: those before one that was there were
    there, too, and those after one that came later came later.
    """
    there = [surely_before(state, reader) for state in order]
    later = [surely_after(state, reader) for state in order]
    # No number is that of an open run: what goes on is not over because a later version is there.
    counts = [-1 if s.number is None or s.end >= NEVER else s.number for s in order]
    last = max((number for number, is_so in zip(counts, there, strict=True) if is_so), default=-1)
    first = min(
        (number for number, is_so in zip(counts, later, strict=True) if is_so and number >= 0),
        default=NEVER,
    )
    for at, number in enumerate(counts):
        there[at] |= 0 <= number <= last
        later[at] |= number >= first
    return there, later


def _write_history(concluded: Concluded) -> None:
    """Adds the links into the histories that are used, and into all before them."""
    used = [link.src.at for link in concluded.links if isinstance(link.src, History)]
    for at in range(max(used, default=-1) + 1):
        node = concluded.order[at].node
        if node is not None:
            concluded.links.append(Found(node, History(at), Basis.INFERRED, Why.HISTORY))
        if at:
            concluded.links.append(Found(History(at - 1), History(at), Basis.INFERRED, Why.HISTORY))
