"""What a revocation touches, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType

from lazaretto.cli.layout import facts, grid
from lazaretto.cli.text import counted

if TYPE_CHECKING:
    from lazaretto.incidents.revocation import Reach

_SHOWN = 50


def reach_view(reach: Reach, incident: str | None) -> RenderableType:
    """Batches, and where their records are; then what to do next.

    Args:
        reach: what is touched.
        incident: that was opened for it; None: none was.
    """
    if not reach.batches:
        return facts({"touched": "nothing was received since that it signed"})
    head = facts(
        {
            "touched": f"{counted(len(reach.batches), 'batch')} with "
            f"{counted(reach.records, 'record')}",
            "admitted": _some(
                [f"{one.dataset}: {one.left:,} of {one.admitted:,}" for one in reach.datasets]
            ),
            "held": _some([f"{one.case}: {one.records:,} undecided" for one in reach.held]),
            "in versions": _some(reach.snapshots),
            "learned from": _some(reach.models),
            **({"not known of": _some(reach.unknown)} if reach.unknown else {}),
            **({} if reach.complete else {"complete": "no: see `lazaretto trace`"}),
            "next": f"lazaretto incident show {incident}" if incident else reach.command,
        }
    )
    rows = [
        (one.id, one.received_at, one.rows, one.verdict, one.held, one.snapshot_rows, one.recalled)
        for one in reach.batches[:_SHOWN]
    ]
    columns = ["batch", "received", "records", "verdict", "held", "in a version", "recalled"]
    more = len(reach.batches) - len(rows)
    title = "Touched" + (f" (the first {len(rows)}; --json has all)" if more else "")
    return Group(head, grid(columns, rows, title=title))


def _some(words: list[str]) -> str:
    more = f", and {len(words) - 10} more" if len(words) > 10 else ""
    return (", ".join(words[:10]) + more) or "nothing"
