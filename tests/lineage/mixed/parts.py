"""The events that a tool sends of one run, in its own style."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mixed import names
from mixed.facts import Made
from mixed.steps import DOUBLE, END, LATE, WHOLE

if TYPE_CHECKING:
    from mixed.facts import Run, Seen, World

_LATE = 0.4
"""Seconds after its end at which a tool of the style ``late`` tells what a run had read."""


@dataclass(frozen=True, slots=True)
class Part:
    """One event of a run.

    Attributes:
        part: which of the run's events it is, so that it can be lost.
        state: its `eventType`.
        after: seconds since the run began.
        seen: inputs that it names.
        made: outputs that it names.
        versions: whether it knows the versions of those.
    """

    part: str
    state: str
    after: float
    seen: tuple[Seen, ...] = ()
    made: tuple[Made, ...] = ()
    versions: bool = True


def parts_of(world: World, run: Run) -> list[Part]:
    """All events of a run, in its tool's style."""
    job = run.job
    tool = world.story.tools[job.tool]
    seen, end = tuple(run.seen), job.moments[2]
    made = tuple(run.made) or tuple(_unmade(run))
    final = "FAIL" if job.fate == "fail" else "COMPLETE"
    planned = made if tool.names_at_start and not any(map(model_made, made)) else ()
    if tool.style == END:
        return [Part("end", final, end, seen, made)]
    first = Part("start", "START", 0.0, seen, planned, versions=False)
    ticks = [
        Part("tick", "RUNNING", tick, seen, tuple(m for m in made if m.at <= job.at + tick))
        for tick in job.ticks
    ]
    ticks += [Part("beat", "RUNNING", beat, versions=False) for beat in job.beats]
    last = [Part("end", final, end, seen, made)]
    if tool.style != WHOLE:
        first = replace(first, made=())
        ticks = [replace(tick, seen=()) for tick in ticks]
        if tool.style == LATE and final == "COMPLETE":
            first = replace(first, seen=())
            last = [Part("end", final, end, (), made), Part("late", "OTHER", end + _LATE, seen)]
        elif tool.style == DOUBLE and final == "COMPLETE":
            last = [Part("end", final, end - 0.05), Part("end", final, end, (), made)]
        else:
            last = [Part("end", final, end, (), made)]
    if job.fate == "retry":
        half = end / 2
        failed = Part("fail", "FAIL", half, first.seen)
        again = Part("again", "START", half + 0.01)
        return [first, failed, again, *ticks, *last]
    return [first, *ticks, *last]


def model_made(made: Made) -> tuple[str, str, str] | None:
    """Registry, name and version of a model version that a job made; None: it is no model."""
    if not names.is_model(made.write.thing):
        return None
    return *names.registry_of(made.write.thing), made.version or ""


def _unmade(run: Run) -> list[Made]:
    """What a run that wrote nothing names all the same, without a version: not a model."""
    tables = [write for write in run.job.writes if not names.is_model(write.thing)]
    return [Made(write, None, None, run.job.at) for write in tables]
