"""Which events of a history are lost: those that leave something behind by which they are missed.

What leaves nothing is not lost here, because nobody could tell it from what never happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixed import names
from mixed.facts import EMPTYING
from mixed.parts import model_made
from mixed.steps import COUNTING

if TYPE_CHECKING:
    from mixed.facts import Made, Run, World
    from mixed.parts import Part
    from mixed.steps import Write

    Parts = dict[int, list[Part]]


def what_is_left(world: World, parts: Parts) -> Parts:
    """The events that are not lost, by the job's key.

    Args:
        world: what happened.
        parts: all events.
    """
    left = dict(parts)
    for run in world.runs:
        if run.job.loss is not None:
            key, whole = run.job.key, run.job.loss == "whole"
            left[key] = [p for p in parts[key] if not whole and p.part != run.job.loss]
    _bring_back(world, parts, left)
    return left


def _bring_back(world: World, parts: Parts, left: Parts) -> None:
    """Takes back losses that leave no trace, until none is left; one may rest on another event."""
    runs = {run.job.key: run for run in world.runs}
    again = True
    while again:
        again = False
        for key, run in runs.items():
            if left[key] != parts[key] and not _leaves_a_trace(world, run, parts, left):
                left[key], again = parts[key], True


def _leaves_a_trace(world: World, run: Run, parts: Parts, left: Parts) -> bool:
    job = run.job
    if any(write.change in EMPTYING for write in job.writes):
        return False
    if job.loss == "whole":
        return bool(run.made) and all(_seen_missing(world, run, made, left) for made in run.made)
    kept = left[job.key]
    if not kept:
        return False
    if job.loss == "start":
        # Its tool must be known to tell of starts. What goes on has a first event all the same.
        others = [
            part.state
            for other in world.runs
            if other is not run and other.job.tool == job.tool
            for part in left[other.job.key]
        ]
        return "START" in others and job.fate != "retry" and not (job.ticks or job.beats)
    if any(part.made for part in kept):
        return True
    # A run that is open, and may have added what it read to anything.
    replaced = any(write.change is not None or _taken_unnamed(world, write) for write in job.writes)
    read = any(part.seen for part in kept)
    return read and not replaced and kept[-1].state not in ("COMPLETE", "FAIL")


def _taken_unnamed(world: World, write: Write) -> bool:
    """Whether others take the newest version of a model, so that a new one replaces it for them."""
    reads = [seen for run in world.runs for seen in run.seen if seen.read.thing == write.thing]
    return names.is_model(write.thing) and any(seen.version is None for seen in reads)


def _seen_missing(world: World, run: Run, made: Made, left: Parts) -> bool:
    """Whether something that is told needs the version that a lost run made."""
    if made.state is None or made.version is None:
        return False
    registered = [values for _, kind, values in world.ledger if kind == "register"]
    if model_made(made) in {(v["registry"], v["model"], v["version"]) for v in registered}:
        return False  # its origin is told, although not all of it
    for other in world.runs:
        for part in left[other.job.key]:
            for seen in part.seen:
                same = seen.read.thing == made.write.thing and seen.version == made.version
                if same and other is not run:
                    return True
    for values in registered:
        for seen in values["inputs"]:
            if seen.read.thing == made.write.thing and seen.version == made.version:
                return True
    if names.is_model(made.write.thing) or world.story.modes[made.write.thing] != COUNTING:
        return False
    told = [
        int(other_made.version)
        for other in world.runs
        for part in left[other.job.key]
        if part.versions
        for other_made in part.made
        if other_made.write.thing == made.write.thing and other_made.version
    ]
    # A table may begin with 0 or with 1: nobody misses 0.
    return int(made.version) >= 1 and any(number > int(made.version) for number in told)
