"""Runs histories, and shrinks those that are answered wrongly."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from mixed.case import Case, take_in
from mixed.generate import story
from mixed.judge import Wrong, answers, judge
from mixed.steps import Job
from mixed.telling import tell_case

from lazaretto.lineage.claims.dump import dump
from lazaretto.lineage.claims.intake import bring_up

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator

    from mixed.judge import Answer
    from mixed.places import Place
    from mixed.steps import Story


_ORDERS = 8


class Check(Protocol):
    """Tells what is wrong about a history; of one question, where its words are given."""

    def __call__(self, place: Place, told: Story, only: str | None = None) -> list[Wrong]: ...


def wrongs(
    place: Place, told: Story, only: str | None = None, tally: Counter[str] | None = None
) -> list[Wrong]:
    """What is wrong about the answers to a history: to all questions, or to one."""
    case = Case.of(told)
    with place.empty() as workspace:
        take_in(workspace, case, place.folder)
        return list(judge(workspace, case, only, tally))


def differences(place: Place, told: Story, only: str | None = None) -> list[Wrong]:
    """Where another order of the same events gives another answer or another graph.

    One order is tried; of one question more are, because a shorter history is ordered otherwise.
    """
    case = Case.of(told)
    first, graph = _as_told(place, case, 0, only)
    for number in range(1, 2 if only is None else _ORDERS):
        second, other = _as_told(place, case, told.shuffle + number, only)
        found = [
            Wrong("order", words, f"{first[words]} becomes {second.get(words)}")
            for words in first
            if first[words] != second.get(words)
        ]
        if graph != other:
            lines = [*set(graph) - set(other), *(f"now {x}" for x in set(other) - set(graph))]
            found.append(Wrong("graph", "the graph", "; ".join(sorted(lines)[:10])))
        if found:
            return found
    return []


def _as_told(
    place: Place, case: Case, shuffle: int, only: str | None
) -> tuple[dict[str, Answer], list[str]]:
    """The answers, and the graph by names, when events come in an order."""
    with place.empty() as workspace:
        take_in(workspace, case, place.folder, shuffle=shuffle)
        found = answers(workspace, case, only)
        bring_up(workspace)  # where nothing is asked, nobody did
        with workspace.catalog.read() as connection:
            return found, list(map(str, dump(connection)))


def failure(place: Place, seed: int, check: Check) -> str | None:
    """What is wrong about the history of a seed, told of the smallest one that shows it."""
    told = story(seed)
    found = check(place, told)
    if not found:
        return None
    kind, question = found[0].check, found[0].question

    def fails(other: Story) -> bool:
        return any(wrong.check == kind for wrong in check(place, other, question))

    small = shrink(told, fails)
    return tell_case(Case.of(small), check(place, small, question))


def shrink(told: Story, fails: Callable[[Story], bool]) -> Story:
    """Leaves out steps, and what is odd about others, while it still fails."""
    smaller = next((less for less in _smaller(told) if fails(less)), None)
    return told if smaller is None else shrink(smaller, fails)


def _smaller(told: Story) -> Iterator[Story]:
    """Stories that are simpler, those with many steps less first."""
    count = len(told.steps)
    for size in (4, 2, 1):
        for index in reversed(range(0, count, size) if size < count else ()):
            yield replace(told, steps=told.steps[:index] + told.steps[index + size :])
    for index in range(len(told.attack)):
        yield replace(told, attack=told.attack[:index] + told.attack[index + 1 :])
    for index, step in enumerate(told.steps):
        for plain in _plainer(step) if isinstance(step, Job) else ():
            yield replace(told, steps=(*told.steps[:index], plain, *told.steps[index + 1 :]))


def _plainer(job: Job) -> Iterator[Job]:
    """The same job with less about it."""
    plain = {"loss": None, "fate": "complete", "ticks": (), "beats": (), "purpose": None}
    for name, value in plain.items():
        if getattr(job, name) != value:
            yield replace(job, **{name: value})
    if len(job.reads) > 1:
        for index in range(len(job.reads)):
            yield replace(job, reads=job.reads[:index] + job.reads[index + 1 :])
    if len(job.writes) > 1:
        for write in job.writes:
            yield replace(job, writes=(write,))
    reads = tuple(replace(read, spelled=0) for read in job.reads)
    writes = tuple(replace(write, spelled=0) for write in job.writes)
    if (reads, writes) != (job.reads, job.writes):
        yield replace(job, reads=reads, writes=writes)
