"""The right answers of a history, from what really happened alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from mixed.facts import World

Model = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Truth:
    """What a question's answer must be.

    Attributes:
        affected: model versions that learned from what is in question.
        certain: those of them that did so by ways of which something is left.
        measured: model versions that were only measured on it.
    """

    affected: frozenset[Model]
    certain: frozenset[Model]
    measured: frozenset[Model]


def truth(world: World, batches: Collection[str], hidden: Collection[int] = ()) -> Truth:
    """Which model versions learned from batches.

    Args:
        world: what happened.
        batches: ids of what is in question.
        hidden: jobs whose outputs nobody told.
    """
    holding = _holding(world, batches, ())
    certain = _holding(world, batches, hidden)
    affected = frozenset(model for model, state in world.models.items() if state in holding)
    return Truth(
        affected=affected,
        certain=frozenset(model for model, state in world.models.items() if state in certain),
        measured=frozenset(
            model
            for model, state in world.models.items()
            if model not in affected and world.measured.get(state, set()) & holding
        ),
    )


def made_of(world: World, model: Model) -> frozenset[str]:
    """The batches that a model version learned from."""
    found, waiting = set(), [world.models[model]]
    while waiting:
        state = waiting.pop()
        if state not in found:
            found.add(state)
            waiting += world.parents.get(state, ())
    return frozenset(found & world.batches.keys())


def _holding(world: World, batches: Collection[str], hidden: Collection[int]) -> set[str]:
    """All states that hold one of the batches, less what hidden jobs brought there."""
    children: dict[str, list[str]] = {}
    for state, parents in world.parents.items():
        for parent, by in parents.items():
            if by - set(hidden):
                children.setdefault(parent, []).append(state)
    found, waiting = set(), list(batches)
    while waiting:
        state = waiting.pop()
        if state not in found:
            found.add(state)
            waiting += children.get(state, ())
    return found
