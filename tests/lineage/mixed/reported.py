"""What is told of a history: the events of other tools, less what is lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mixed import names
from mixed.losses import what_is_left
from mixed.parts import model_made, parts_of
from mixed.wire import event_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mixed.facts import Seen, World
    from mixed.parts import Part
    from mixed.wire import Event


@dataclass(slots=True)
class Told:
    """What is told.

    Attributes:
        events: by honest tools, in the order in which they were sent.
        hidden: runs whose outputs no event names.
        lost: what is lost, in words.
        models: registry, name and version of every model version that is told of.
        spans: first and last event of each run by its job's key, as its clock says.
    """

    events: list[Event] = field(default_factory=list)
    hidden: set[int] = field(default_factory=set)
    lost: list[str] = field(default_factory=list)
    models: set[tuple[str, str, str]] = field(default_factory=set)
    spans: dict[int, tuple[float, float]] = field(default_factory=dict)


def tell(world: World) -> Told:
    """The events of a history, without those that are lost and leave something behind."""
    told = Told()
    parts = {run.job.key: parts_of(world, run) for run in world.runs}
    left = what_is_left(world, parts)
    for run in world.runs:
        key = run.job.key
        kept = left[key]
        if len(kept) < len(parts[key]):
            told.lost.append(f"run {key}: {run.job.loss}")
        if not kept:
            continue
        told.events += [event_of(world, run, part) for part in kept]
        skew = world.story.tools[run.job.tool].skew
        times = [run.job.at + part.after + skew for part in kept]
        told.spans[key] = min(times), max(times)
        if not any(part.made for part in kept):
            told.hidden.add(key)
        told.models |= {model for part in kept for model in _models(part)}
    for _, kind, values in world.ledger:
        if kind == "register":
            told.models.add((values["registry"], values["model"], values["version"]))
            told.models |= {model for seen in values["inputs"] for model in _read(seen)}
    return told


def _models(part: Part) -> Iterator[tuple[str, str, str]]:
    """Model versions that an event names."""
    for made in part.made:
        if part.versions and (model := model_made(made)):
            yield model
    for seen in part.seen:
        yield from _read(seen)


def _read(seen: Seen) -> Iterator[tuple[str, str, str]]:
    if seen.read.thing.startswith("model:") and seen.version is not None:
        yield *names.registry_of(seen.read.thing), seen.version
