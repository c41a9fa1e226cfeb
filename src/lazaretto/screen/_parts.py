"""The parts of a batch that are looked at by themselves: neighbourhoods, groups, one view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.screen._apart import find_apart
from lazaretto.screen._groups import find_groups
from lazaretto.screen._neighbourhood import find_neighbourhoods, search_level
from lazaretto.screen._over_batches import find_over_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lazaretto.detect.arrays import Ints
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference
    from lazaretto.screen._earlier import Earlier
    from lazaretto.screen._groups import Numbered
    from lazaretto.screen._matching import Question
    from lazaretto.screen._measured import Measured
    from lazaretto.screen._neighbourhood import Named
    from lazaretto.screen._score import Scored
    from lazaretto.stats.localised import Budget
    from lazaretto.values import TestSummary


@dataclass(frozen=True, slots=True)
class Parts:
    """What parts of a batch show.

    Attributes:
        tests: each as the batch tests are told.
        reasons: why records are held, by position, of each part that names some.
        named: the records that each search for neighbourhoods names, from some level on.
        note: what a reviewer is told of earlier batches; None: nothing.
    """

    tests: list[TestSummary]
    reasons: list[dict[int, str]]
    named: list[Named]
    note: str | None = None


def look_at_parts(
    scored: Scored,
    measured: Measured,
    groups: Mapping[str, Numbered],
    reference: Reference,
    policy: Policy,
    budget: Budget,
    matching: Callable[[Question], Ints],
    *,
    earlier: Sequence[Earlier],
    alone: bool,
) -> Parts:
    """Looks at the parts of a batch, each with its share of the budget.

    Args:
        scored: the batch.
        measured: its p-values.
        groups: of each record, by column.
        reference: that it was scored against.
        policy: the policy.
        budget: how the chance of holding anything of a clean batch is shared.
        matching: tells the positions of the records for which a question holds.
        earlier: batches of the source that are looked at together with it.
        alone: whether the batch is judged alone: one that is too small has no parts.
    """
    level = search_level(budget, policy, over_batches=bool(earlier))
    over = find_over_batches(scored, earlier, reference, policy, level if alone else 0.0, matching)
    tests: list[TestSummary] = []
    reasons: list[dict[int, str]] = []
    named: list[Named] = []
    if alone:
        found = find_neighbourhoods(scored, reference, policy, level, matching)
        if found is not None:
            tests.append(found.test)
            named += found.named
        others = [
            find_apart(scored, reference, policy, budget.apart),
            find_groups(groups, measured, policy, budget.scan / 2),
        ]
        tests += [more.test for more in others if more is not None]
        reasons += [more.reasons for more in others if more is not None]
    if over is not None:
        tests.append(over.test)
        named += over.named
    reasons = [*(one.reasons for one in named), *reasons]
    return Parts(tests, reasons, named, None if over is None else over.note)
