"""How it is shown what retention deletes, or would delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType

from lazaretto.cli.layout import facts, grid
from lazaretto.cli.text import cell, counted

if TYPE_CHECKING:
    from lazaretto.health import Pruned

_SHOWN = 20
_WHAT = {"delivered": "delivery", "held": "held rows"}


def pruned(found: Pruned) -> RenderableType:
    """What is due, what is kept although it is old enough, and what is left of earlier runs."""
    size = sum(one.bytes for one in found.due)
    deliveries = sum(one.case is None for one in found.due)
    cases = len(found.due) - deliveries
    outcome = "nothing is due"
    if found.due or found.again:
        outcome = "deleted" if found.done else "add --apply to delete it"
    head: dict[str, object] = {
        "result": outcome,
        "due": f"{deliveries} {'delivery' if deliveries == 1 else 'deliveries'} and the held rows "
        f"of {counted(cases, 'case')}, {size:,} bytes",
    }
    if found.again:
        head["again"] = f"{counted(len(found.again), 'file')} deleted before, and there"
    due = [
        (one.batch, _WHAT[one.what], f"{one.since:%Y-%m-%d}", one.days, one.bytes)
        for one in found.due[:_SHOWN]
    ]
    kept = [(one.batch, _WHAT[one.what], one.why) for one in found.kept[:_SHOWN]]
    parts: list[RenderableType] = [facts(head)]
    if due:
        title = "Deleted" if found.done else "Would be deleted"
        columns = ["batch", "what", "since", "days", "bytes"]
        parts += [grid(columns, due, title=title), *_more(len(found.due))]
    if kept:
        title = "Old enough, and still needed"
        parts += [
            grid(["batch", "what", "why"], kept, title=title, text=["why"]),
            *_more(len(found.kept)),
        ]
    return Group(*parts)


def _more(count: int) -> list[RenderableType]:
    return [cell(f"and {count - _SHOWN} more (--json)")] if count > _SHOWN else []
