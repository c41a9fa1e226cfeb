"""A source over time, for people: the evidence after each of its batches."""

from __future__ import annotations

from math import log10
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType

from lazaretto.cli.layout import facts, grid
from lazaretto.cli.text import counted

if TYPE_CHECKING:
    from lazaretto.stages.sources import SourceDrift

_BAR = 20
_FULL = 4.0
"""Powers of ten at which a bar is full."""


def view(found: SourceDrift) -> RenderableType:
    """Tables of the evidence."""
    head = facts(
        {
            "source": found.source,
            "reference": found.reference or "no batch was screened",
            "batches": found.batches,
            "evidence": f"{found.evidence:.3g}",
        }
    )
    rows = [
        (
            step.batch,
            f"{step.arrived:%Y-%m-%d %H:%M}",
            step.p_value,
            f"{step.held} of {counted(step.rows, 'record')}",
            "" if step.moved is None else f"{step.moved:.0%}",
            f"{step.evidence:.3g}",
            _bar(step.evidence),
        )
        for step in found.steps
    ]
    columns = ["batch", "arrived", "p-value", "held", "columns moved", "evidence", ""]
    return Group(head, *([grid(columns, rows, title="Batch by batch")] if rows else []))


def _bar(evidence: float) -> str:
    """Longer with every power of ten."""
    return "#" * round(_BAR * min(1.0, max(0.0, log10(max(evidence, 1e-9))) / _FULL))
