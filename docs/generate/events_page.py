"""The page of the ledger and its events, from `lazaretto.ledger.events`."""

from __future__ import annotations

import inspect
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = (Path(__file__).parent / "heads" / "ledger-and-events.md").read_text("utf-8")


def page() -> str:
    """Renders the page."""
    from lazaretto.ledger import events

    parts = [_HEAD]
    # A dataclass with slots leaves its first form behind as a second subclass: go by the module.
    kinds = [kind for kind in vars(events).values() if isinstance(kind, type)]
    for kind in (
        kind for kind in kinds if issubclass(kind, events.Event) and hasattr(kind, "kind")
    ):
        parts += _entry(f"`{kind.kind}`", kind, inspect.getdoc(kind) or "")
    parts.append("\n## Parts of events\n")
    for part in _parts():
        parts += _entry(part.__name__, part, (inspect.getdoc(part) or "").splitlines()[0])
    return "".join(parts)


def _entry(title: str, kind: type, text: str) -> Iterator[str]:
    yield f"\n### {title}\n\n{text}\n\n| field | type |\n|---|---|\n"
    yield from (f"| `{f.name}` | {_type(str(f.type))} |\n" for f in fields(kind))


def _parts() -> list[type]:
    """Every dataclass that a field of an event holds, in the order of `lazaretto.values`."""
    from lazaretto import values

    found = [part for part in vars(values).values() if is_dataclass(part)]
    return [part for part in found if isinstance(part, type) and part is not values.BatchRef]


def _type(text: str) -> str:
    return text.replace(" | None", ", or null").replace("|", "\\|")
