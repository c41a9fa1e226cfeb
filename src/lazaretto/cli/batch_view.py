"""What a person sees of one batch, and of the list of deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType

from lazaretto.cli.layout import facts, grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lazaretto.stages.found import Found
    from lazaretto.stages.listing import Page


def list_view(rows: Sequence[dict[str, Any]]) -> RenderableType:
    """The table of what `list_deliveries` gave."""
    keys = ("rows", "verdict", "held", "cleared", "case")
    cells = [
        (
            one["id"] or f"{one['source']} (entry {one['seq']})",
            one["received_at"],
            *(one[key] for key in keys),
            *([_refused(one)] if any(other["refused"] for other in rows) else []),
        )
        for one in rows
    ]
    columns = ["batch", "received", "records", *keys[1:]]
    columns += ["refused because"] if any(one["refused"] for one in rows) else []
    return grid(columns, cells, text=["refused because"])


def found_view(found: Sequence[Found]) -> RenderableType:
    """The table of what `list_found` gave."""
    cells = [
        (one.record_id, one.action, one.rule, one.text, one.value, one.mended) for one in found
    ]
    columns = ["record", "action", "rule", "because", "delivered", "goes on as"]
    return grid(columns, cells, text=["because", "delivered", "goes on as"])


def onward(page: Page) -> str | None:
    """What shows the next page."""
    last = page.rows[-1] if page.more else None
    return None if last is None else f"--after {last['id'] or last['seq']}"


def _refused(one: dict[str, Any]) -> str | None:
    why = one["refused"]
    return why and f"{why['code']}: {why['reason']}"


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
        text=["result"],
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
