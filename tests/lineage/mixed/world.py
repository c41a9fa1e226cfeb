"""Plays a story: every read and every write at its moment."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from mixed.facts import EMPTYING, Run, World
from mixed.ourselves import act
from mixed.reading import find
from mixed.steps import Job
from mixed.writing import write_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from mixed.steps import Story


def play(story: Story) -> World:
    """Plays a story: every read and write at its moment."""
    world = World(story)
    actions: list[tuple[float, Callable[[], None]]] = []
    for step in story.steps:
        if isinstance(step, Job):
            world.runs.append(run := Run(step))
            actions += _moments(world, run)
        else:
            actions.append((step.at, lambda step=step: act(world, step)))  # type: ignore[misc]
    for _, action in sorted(actions, key=lambda one: one[0]):
        action()
    world.runs = [run for run in world.runs if not run.cancelled]
    return world


def _moments(world: World, run: Run) -> list[tuple[float, Callable[[], None]]]:
    job = run.job
    reads, writes, _ = (job.at + moment for moment in job.moments)
    if not job.ticks:
        return [
            (reads, lambda: _look(world, run)),
            (writes, lambda: write_all(world, run, writes)),
        ]
    # A stream: what its inputs held at one event has reached its outputs at the next, or its end.
    found: list[tuple[float, Callable[[], None]]] = []
    edges = (job.at, *(job.at + tick for tick in job.ticks), job.at + job.moments[2] - 0.1)
    for first, last in pairwise(edges):
        middle = first + 0.6 * (last - first)
        found += [
            (first, lambda: _look(world, run)),
            (middle, lambda: _look(world, run)),
            (middle + 0.001, lambda middle=middle: write_all(world, run, middle)),  # type: ignore[misc]
        ]
    return found


def _look(world: World, run: Run) -> None:
    """Reads what there is; a run that finds nothing of what it wants does not take place."""
    for read in run.job.reads:
        found = find(world, read)
        if found is not None and found not in run.seen:
            run.seen.append(found)
    emptying = all(write.change in EMPTYING for write in run.job.writes)
    if not run.seen and not emptying:
        run.cancelled = True
