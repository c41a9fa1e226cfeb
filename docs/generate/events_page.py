"""The page of the ledger and its events, from `lazaretto.events`."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = (Path(__file__).parent / "heads" / "ledger-and-events.md").read_text("utf-8")


def page() -> str:
    """Renders the page."""
    from lazaretto.events import Event

    parts = [_HEAD]
    for kind in Event.__subclasses__():
        parts += _entry(f"`{kind.kind}`", kind, inspect.getdoc(kind) or "")
    parts.append("\n## Parts of events\n")
    for part in _parts():
        parts += _entry(part.__name__, part, (inspect.getdoc(part) or "").splitlines()[0])
    return "".join(parts)


def _entry(title: str, kind: type, text: str) -> Iterator[str]:
    yield f"\n### {title}\n\n{text}\n\n| field | type |\n|---|---|\n"
    yield from (f"| `{f.name}` | {_type(str(f.type))} |\n" for f in fields(kind))


def _parts() -> list[type]:
    from lazaretto import events, values

    return [
        *(values.Actor, values.PolicyRef, values.Signature),
        *(
            events.Column,
            events.RuleCount,
            events.TestSummary,
            events.DetectorSummary,
            events.BatchEvidence,
            events.ColumnMove,
            events.DriftSummary,
            events.TriageSummary,
            events.Member,
        ),
        *(events.ClassSummary, events.PromotionChange),
    ]


def _type(text: str) -> str:
    return text.replace(" | None", ", or null").replace("|", "\\|")
