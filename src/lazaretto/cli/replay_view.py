"""A policy replay for people: what would be different in all, by reason, and batch by batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType

from lazaretto.cli.layout import facts, grid
from lazaretto.cli.text import plain

if TYPE_CHECKING:
    from lazaretto.stages.policy_replay import PolicyReplay
    from lazaretto.stages.replayed import Change, ReplayedBatch


def view(found: PolicyReplay) -> RenderableType:
    """Facts and tables of a replay."""
    head: dict[str, object] = {
        "dataset": found.dataset,
        "candidate": found.path or found.candidate[:12],
        "reference": found.reference,
        "batches": f"{len(found.batches)}, {found.verdicts} of them with another verdict",
        "records": found.records,
        "would hold": f"{found.total.would_hold} that were not held",
        "would release": _decided(found.total.would_release),
        "still held": _decided(found.total.still_held),
        "would have missed": f"{found.missed} that reviewers rejected",
    }
    if found.since is not None:
        head["since"] = plain(found.since)
    if found.refused:
        deliveries = "delivery was" if found.refused == 1 else "deliveries were"
        head["not kept"] = f"{found.refused} {deliveries} refused since then, and cannot be tried"
    for number, one in enumerate(found.left_out, start=1):
        judged = "judged again, not compared" if one.judged else "not judged again"
        head[f"left out {number}"] = f"{one.batch} ({judged}): {one.why}"
    head |= {f"note {number}": text for number, text in enumerate(found.notes, start=1)}
    title = "Nothing would be different" if found.same else "What would be different"
    parts: list[RenderableType] = [facts(head, title=title if found.batches else "Cannot say")]
    if found.reasons:
        columns = ["reason", "held", "would be held", "newly", "released", "missed"]
        reasons: list[tuple[object, ...]] = [
            (r.reason, r.before, r.after, r.would_hold, r.would_release, r.missed)
            for r in found.reasons
        ]
        parts.append(grid(columns, reasons, title="By first reason", text=["reason"]))
    if found.batches:
        columns = ["batch", "arrived", "rows", "verdict", "would be", "held", "would be held"]
        columns += ["newly", "released", "missed", "why"]
        rows = [_row(one) for one in found.batches]
        parts.append(grid(columns, rows, title="In the order in which they came", text=["why"]))
    return Group(*parts)


def _row(one: ReplayedBatch) -> tuple[object, ...]:
    before, after, change = one.before, one.after, one.change
    return (
        one.batch,
        one.arrived,
        one.rows,
        before.verdict,
        "the same" if before.verdict == after.verdict else after.verdict,
        before.held,
        after.held,
        change.would_hold,
        _sum(change),
        one.missed,
        "" if one.same else "; ".join(after.notes[:2]),
    )


def _sum(change: Change) -> int:
    return sum(change.would_release.values())


def _decided(found: dict[str, int]) -> str:
    """How many, and what reviewers decided on them."""
    total = sum(found.values())
    if not total:
        return "0"
    words = ", ".join(f"{count} {name}" for name, count in sorted(found.items()))
    return f"{total} ({words})"
