"""Whether what is told of a history leaves one answer: nothing lost, and no moments too close.

By the clock rule of the documentation: moments of one clock are compared as they are, between two
clocks those less than ten seconds apart have no order.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from mixed import names
from mixed.facts import MEASURES
from mixed.steps import COUNTING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mixed.facts import Run, World
    from mixed.reported import Told

TOLERANCE = 10.0
_OURS = "ledger"


@dataclass(frozen=True, slots=True)
class _Access:
    """Somebody reads or writes a thing between two moments of a clock.

    Attributes:
        by: run, or entry of the ledger.
        ordered: whether versions give its place among the writes, so that no moment is needed.
    """

    by: str
    thing: str
    part: str
    clock: str
    first: float
    last: float
    writes: bool
    ordered: bool


def why_inexact(world: World, told: Told) -> list[str]:
    """Why an answer about a history may be uncertain; empty: it must be exact."""
    found = sorted(world.mixed) + told.lost
    seen = [seen for run in world.runs for seen in run.seen]
    seen += [seen for _, _, values in world.ledger for seen in values.get("inputs", ())]
    outside = {one.read.thing for one in seen if one.read.thing.startswith("outside:")}
    found += [f"nobody vouches for {thing}" for thing in sorted(outside - world.declared)]
    failed = [run.job.key for run in world.runs if run.job.fate == "fail"]
    found += [f"run {key} failed, and may have written" for key in failed]
    found += [f"nobody told what {state} learned from" for state in _only_measured(world)]
    accesses = [*_of_runs(world, told), *_of_ledger(world)]
    for one, other in combinations(accesses, 2):
        if one.by != other.by and _meet(one, other) and not _in_order(one, other):
            found.append(f"{one.by} and {other.by} are too close on {one.thing}")
    return found


def _only_measured(world: World) -> list[str]:
    """Model versions of which a training names nothing that it learned from, or no training is."""
    taught = {
        f"{names.model_key(values['registry'], values['model'])}@{values['version']}"
        for _, kind, values in world.ledger
        if kind == "register"
    }
    blind: set[str] = set()
    for run in world.runs:
        learned = any(seen.read.role not in MEASURES for seen in run.seen)
        made = {made.state for made in run.made if made.state and names.is_model(made.write.thing)}
        if run.job.purpose != "EVAL":
            (taught if learned else blind).update(made)
    return sorted(blind | (set(world.models.values()) - taught))


def _of_runs(world: World, told: Told) -> Iterator[_Access]:
    for run in world.runs:
        if run.job.key in told.spans:
            yield from _of_run(world, told, run)


def _of_run(world: World, told: Told, run: Run) -> Iterator[_Access]:
    tool = world.story.tools[run.job.tool]
    clock = f"{tool.namespace} {tool.producer}"
    first, last = told.spans[run.job.key]
    by = f"run {run.job.key}"
    for seen in run.seen:
        thing, part = seen.read.thing, seen.read.part or ""
        named = seen.version is not None
        yield _Access(by, thing, part, clock, first, last, writes=False, ordered=named)
    for made in run.made:
        write = made.write
        counts = not names.is_model(write.thing) and made.version is not None
        ordered = counts and world.story.modes[write.thing] == COUNTING
        for thing in (write.thing, write.before):
            if thing is not None:
                part = write.part or ""
                yield _Access(by, thing, part, clock, first, last, writes=True, ordered=ordered)


def _of_ledger(world: World) -> Iterator[_Access]:
    for number, (at, kind, values) in enumerate(world.ledger):
        thing = {
            "receive": f"batch:{values.get('source')}",
            "admit": "ours",
            "recall": "ours",
            "export": next((t for t, uri in names.EXPORTS.items() if uri == values.get("uri")), ""),
        }.get(kind)
        if kind == "register":
            thing = names.model_key(values["registry"], values["model"])
        if thing:
            by = f"entry {number}"
            # A model may have been there long before somebody registered it.
            first = float("-inf") if kind == "register" else at
            yield _Access(by, thing, "", _OURS, first, at, writes=True, ordered=kind != "export")


def _meet(one: _Access, other: _Access) -> bool:
    if one.thing != other.thing or not (one.writes or other.writes):
        return False
    if one.part and other.part and one.part != other.part:
        return False
    if one.writes and other.writes:
        model = one.thing.startswith(("model:", "batch:"))
        return not model and not (one.ordered and other.ordered)
    reader = other if one.writes else one
    return not reader.ordered


def _in_order(one: _Access, other: _Access) -> bool:
    first, second = (one, other) if one.first <= other.first else (other, one)
    apart = second.first - first.last
    return apart > (0 if one.clock == other.clock else TOLERANCE)
