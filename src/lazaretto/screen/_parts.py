"""The parts of a batch that are looked at by themselves: neighbourhoods, groups, one view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.screen._apart import find_apart
from lazaretto.screen._groups import find_groups
from lazaretto.screen._neighbourhood import NEIGHBOURHOOD, find_neighbourhoods
from lazaretto.screen._over_batches import find_over_batches

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lazaretto.policy import Policy
    from lazaretto.reference import Reference
    from lazaretto.screen._groups import Numbered
    from lazaretto.screen._measured import Measured
    from lazaretto.screen._over_batches import Earlier
    from lazaretto.screen._score import Scored
    from lazaretto.stats.localised import Budget
    from lazaretto.values import TestSummary


@dataclass(frozen=True, slots=True)
class Parts:
    """What parts of a batch show.

    Attributes:
        tests: each as the batch tests are told.
        reasons: why records are held, by position, of each part that names some.
        note: what a reviewer is told of earlier batches; None: nothing.
    """

    tests: list[TestSummary]
    reasons: list[dict[int, str]]
    note: str | None = None


def look_at_parts(
    scored: Scored,
    measured: Measured,
    groups: Mapping[str, Numbered],
    reference: Reference,
    policy: Policy,
    budget: Budget,
    *,
    earlier: Sequence[Earlier],
    alone: bool,
) -> Parts:
    """Looks at the parts of a batch, each with its share of the budget.

    Neighbourhoods of the batch, those over batches of the source, and groups share one level: so
    a batch with which a look over batches comes is searched by itself at half of it.

    Args:
        scored: the batch.
        measured: its p-values.
        groups: of each record, by column.
        reference: that it was scored against.
        policy: the policy.
        budget: how the chance of holding anything of a clean batch is shared.
        earlier: batches of the source that are looked at together with it.
        alone: whether the batch is judged alone: one that is too small has no parts.
    """
    level = budget.scan / (2 if policy.columns.groups else 1)
    own = level / 2 if earlier else level
    over = find_over_batches(scored, earlier, reference, policy, own if alone else 0.0)
    tests: list[TestSummary] = []
    reasons: list[dict[int, str]] = []
    if alone:
        found = find_neighbourhoods(scored, reference, policy, own)
        if found is not None:
            tests.append(found.test)
            told = f"{NEIGHBOURHOOD}: {found.told}"
            reasons.append(dict.fromkeys(found.members.tolist(), told))
        others = [
            find_apart(scored, reference, policy, budget.apart),
            find_groups(groups, measured, policy, level),
        ]
        tests += [more.test for more in others if more is not None]
        reasons += [more.reasons for more in others if more is not None]
    if over is None:
        return Parts(tests, reasons)
    return Parts([*tests, over.test], [*reasons, over.reasons], over.note)
