"""One history in a workspace: the ledger written, the events read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from mixed.attack import forged
from mixed.closeness import why_inexact
from mixed.names import REAL, ROOT
from mixed.ours import write_ledger
from mixed.reported import tell
from mixed.world import play

from lazaretto import lineage

if TYPE_CHECKING:
    from pathlib import Path

    from mixed.facts import World
    from mixed.reported import Told
    from mixed.steps import Story
    from mixed.wire import Event

    from lazaretto.storage.workspace import Workspace


@dataclass(slots=True)
class Case:
    """A history with what is told of it."""

    story: Story
    world: World
    told: Told
    events: list[Event]
    inexact: list[str]

    @classmethod
    def of(cls, story: Story) -> Case:
        """Plays a story."""
        world = play(story)
        told = tell(world)
        events = told.events + forged(told.events, story.attack, story.seed)
        return cls(story, world, told, events, why_inexact(world, told))

    @property
    def unvouched(self) -> bool:
        """Whether somebody read what nobody told the origin of."""
        return any(text.startswith("nobody") for text in self.inexact)

    @property
    def exact(self) -> bool:
        """Whether nothing may be unknown."""
        return not self.inexact and not self.story.attack


def take_in(workspace: Workspace, case: Case, folder: Path, *, shuffle: int = 0) -> None:
    """Makes the history in a workspace: the ledger, and events in an order of their own.

    Args:
        workspace: an empty one.
        case: the history.
        folder: for the files of events.
        shuffle: 0: as they were sent, after the ledger; else another order, split and repeated,
            some of it before the ledger.
    """
    lines = [line(event, workspace, folder) for event in case.events]
    if not shuffle:
        write_ledger(workspace, case.world)
        ingest(workspace, lines, folder)
        return
    random = Random(shuffle)  # noqa: S311
    lines += random.choices(lines, k=len(lines) // 3) if lines else []
    random.shuffle(lines)
    edges = sorted(random.randrange(len(lines) + 1) for _ in range(2))
    before, *others = (
        lines[first:last] for first, last in zip([0, *edges], [*edges, len(lines)], strict=True)
    )
    ingest(workspace, before, folder)
    write_ledger(workspace, case.world)
    for some in others:
        ingest(workspace, some, folder)


def line(event: Event, workspace: Workspace, folder: Path) -> str:
    """An event as a line of a file, with the store's place."""
    text = json.dumps(event)
    return text.replace(ROOT, workspace.store.root).replace(REAL, str(folder / "real"))


def ingest(workspace: Workspace, lines: list[str], folder: Path) -> None:
    """Reads lines of events; none may be refused."""
    if lines:
        file = folder / "events.jsonl"
        file.write_text("".join(f"{text}\n" for text in lines))
        done = lineage.ingest(workspace, file)
        assert done.skipped == [], done.skipped
