"""What is asked about a history."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

from mixed.facts import moment
from mixed.oracle import truth

from lazaretto import lineage

if TYPE_CHECKING:
    from collections.abc import Callable

    from mixed.facts import Batch, World

    from lazaretto.lineage import Trace
    from lazaretto.storage.workspace import Workspace

_MOST = 3
_APART = 1800.0
"""Seconds between two deliveries, so that a window can begin in between by whatever it goes."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about a history.

    Attributes:
        words: in which it is told.
        batches: ids of what is in question.
        since: earliest arrival of those.
        ask: asks it.
    """

    words: str
    batches: frozenset[str]
    since: float
    ask: Callable[[Workspace], Trace]


def questions(world: World, only: str | None = None) -> list[Asked]:
    """A few questions about sources, with a window and without, and batches.

    Those that have affected models are asked first; which of the others is chance.

    Args:
        world: what happened.
        only: the words of one, which is asked alone.
    """
    batches = sorted(world.batches.values(), key=lambda batch: (batch.at, batch.id))
    found = [_of_batch(batch) for batch in batches]
    for source in sorted({batch.source for batch in batches}):
        found += _of_source(source, [batch for batch in batches if batch.source == source])
    if only is not None:
        return [asked for asked in found if asked.words == only]
    Random(world.story.seed).shuffle(found)  # noqa: S311
    found.sort(key=lambda asked: not truth(world, asked.batches).affected)
    return found[: _MOST - 1] + found[_MOST - 1 :][-1:]


def _of_source(source: str, batches: list[Batch]) -> list[Asked]:
    found = [
        Asked(
            f"source {source}",
            frozenset(batch.id for batch in batches),
            batches[0].at,
            lambda workspace: lineage.trace_source(workspace, source),
        )
    ]
    edges = [(a.at + b.at) / 2 for a, b in pairwise(batches) if b.at - a.at > _APART]
    if edges:
        edge = edges[len(edges) // 2]
        later = [batch for batch in batches if batch.at > edge]
        since = moment(edge)
        found.append(
            Asked(
                f"source {source} since {since:%d %H:%M:%S}",
                frozenset(batch.id for batch in later),
                later[0].at,
                lambda workspace: lineage.trace_source(workspace, source, since),
            )
        )
    return found


def _of_batch(batch: Batch) -> Asked:
    return Asked(
        f"batch {batch.id}",
        frozenset({batch.id}),
        batch.at,
        lambda workspace: lineage.trace_batch(workspace, batch.id),
    )
