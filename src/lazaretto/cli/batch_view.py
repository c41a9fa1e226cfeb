"""What a person sees of one batch."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType

from lazaretto.cli.reply import facts, grid


def view(batch: dict[str, Any]) -> RenderableType:
    """Delivery, stages and admissions of what `describe_batch` gave."""
    delivery = batch["delivery"]
    head = facts(
        {
            "batch": batch["id"],
            "source": f"{batch['source']} ({delivery['trust_tier']})",
            "received": batch["received_at"],
            "collected from": delivery["collected_from"],
            "collected to": delivery["collected_to"],
            "signature": delivery["signature"].status,
            "records": f"{batch['rows']} ({delivery['format']})",
            "columns": ", ".join(f"{c.name} {c.type}" for c in delivery["columns"]),
            "delivered as": delivery["uri"],
            "kept at": delivery["deleted"] or delivery["stored"].path,
            "verdict": f"{batch['verdict']} for dataset {batch['dataset']}"
            if batch["verdict"]
            else "not judged yet",
            "held": batch["held"],
            "case": batch["case"],
        }
    )
    stages = grid(
        ["stage", "when", "result"],
        [(name, stage["at"], _said(stage["summary"])) for name, stage in batch["stages"].items()],
        title="Stages",
    )
    admissions = grid(
        ["dataset", "part", "records", "version", "when"],
        [(a["dataset"], a["part"], a["rows"], a["version"], a["at"]) for a in batch["admissions"]],
        title="Admitted",
    )
    parts: list[RenderableType] = [head]
    parts += [stages] if batch["stages"] else []
    parts += [admissions] if batch["admissions"] else []
    return Group(*parts)


def _said(summary: dict[str, Any]) -> str:
    words = []
    for key, value in summary.items():
        if value in (None, [], {}):
            continue
        words.append(f"{key}: {_words(value)}")
    return "; ".join(words)


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} ({count})" for name, count in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
