"""A source over time, for JSON and for people: the evidence after each of its batches."""

from __future__ import annotations

from math import log10
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType

from lazaretto.cli.layout import facts, grid
from lazaretto.cli.text import counted
from lazaretto.values import to_json

if TYPE_CHECKING:
    from lazaretto.storage.workspace import Workspace

_BAR = 20
_FULL = 4.0
"""Powers of ten at which a bar is full."""


def describe_drift(
    workspace: Workspace, source: str, reference: str | None, *, limit: int
) -> dict[str, Any]:
    """The evidence after each batch of a source against one version of a reference.

    Args:
        workspace: catalog and store.
        source: its name.
        reference: ``name`` or ``name/version``; default: of its last screened batch.
        limit: at most so many batches, the newest; the evidence counts all.

    Raises:
        NotFoundError: no such source, or no such reference.
    """
    from lazaretto.authority.policies import counted_policies
    from lazaretto.drift.source import Question, Step, last_screening, source_steps
    from lazaretto.registry.references import find_reference
    from lazaretto.sources.registry import get_source

    get_source(workspace, source)
    known = None if reference is None else find_reference(workspace, reference)
    name = None if known is None else f"{known.name}/{known.version}"
    steps: list[Step] = []
    with workspace.catalog.read() as connection:
        last = last_screening(connection, source)
        if last is not None:
            name = name or f"{last.reference}/{last.reference_version}"
            counted = counted_policies(connection, last.policy.dataset, last.policy.meaning)
            digest = last.reference_digest if known is None else known.digest
            steps = source_steps(connection, Question(source, digest, counted), limit=limit)
    return {
        "source": source,
        "reference": name,
        "batches": steps[-1].batches if steps else 0,
        "evidence": steps[-1].evidence if steps else 1.0,
        "steps": to_json(steps),
    }


def view(found: dict[str, Any]) -> RenderableType:
    """Tables of what `describe_drift` gave."""
    head = facts(
        {
            "source": found["source"],
            "reference": found["reference"] or "no batch was screened",
            "batches": found["batches"],
            "evidence": f"{found['evidence']:.3g}",
        }
    )
    rows = [
        (
            step["batch"],
            step["arrived"][:16].replace("T", " "),
            step["p_value"],
            f"{step['held']} of {counted(step['rows'], 'record')}",
            "" if step["moved"] is None else f"{step['moved']:.0%}",
            f"{step['evidence']:.3g}",
            _bar(step["evidence"]),
        )
        for step in found["steps"]
    ]
    columns = ["batch", "arrived", "p-value", "held", "columns moved", "evidence", ""]
    return Group(head, *([grid(columns, rows, title="Batch by batch")] if rows else []))


def _bar(evidence: float) -> str:
    """Longer with every power of ten."""
    return "#" * round(_BAR * min(1.0, max(0.0, log10(max(evidence, 1e-9))) / _FULL))
