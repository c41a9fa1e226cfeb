"""The threshold explorer for people: one row for each rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType

from lazaretto.cli.layout import facts, grid
from lazaretto.cli.text import plain

if TYPE_CHECKING:
    from lazaretto.stages.explore import Exploration
    from lazaretto.stages.outcomes import RateOutcome


def view(found: Exploration) -> RenderableType:
    """Facts and the table of an exploration."""
    head: dict[str, object] = {
        "dataset": found.dataset,
        "policy": found.meaning[:12],
        "rate": f"{found.rate:g} is in force",
        "batches": f"the last {len(found.batches)}, of {found.asked} that were asked for",
        "records": found.records,
    }
    if found.since is not None:
        head["arrived"] = f"{plain(found.since)} to {plain(found.until)}"
    told = [(f"left out {n}", text) for n, text in enumerate(found.left_out, start=1)]
    told += [
        (f"differs {n}", f"{batch}: its figures are not what is on record")
        for n, batch in enumerate(found.differs, start=1)
    ]
    told += [(f"note {n}", text) for n, text in enumerate(found.notes, start=1)]
    parts: list[RenderableType] = [facts(head | dict(told))]
    if found.batches:
        parts.append(rates_view(found.rates))
    return Group(*parts)


def rates_view(rates: list[RateOutcome]) -> RenderableType:
    """The table: what each rate would have held, and what became of those records."""
    columns = ["rate", "marked", "held", "whole", "released", "corrected", "rejected"]
    columns += ["undecided", "never reviewed", "let in"]
    return grid(columns, [_row(outcome) for outcome in rates], title="Had the rate been")


def _row(outcome: RateOutcome) -> list[object]:
    reviewed, let_in = outcome.reviewed, outcome.let_in
    rejected = let_in.get("REJECT", 0)
    return [
        f"{outcome.rate:g}{' now' if outcome.in_force else ''}",
        outcome.suspected,
        outcome.held,
        f"{outcome.whole}{f' + {outcome.unknown} unknown' if outcome.unknown else ''}",
        reviewed.get("RELEASE", 0),
        reviewed.get("RELABEL", 0) + reviewed.get("REWEIGHT", 0),
        *(reviewed.get(name, 0) for name in ("REJECT", "UNDECIDED", "NEVER_REVIEWED")),
        f"{sum(let_in.values())}{f', {rejected} rejected' if rejected else ''}",
    ]
