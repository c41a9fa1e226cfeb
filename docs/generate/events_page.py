"""The page of the ledger and its events, from the docstrings of `lazaretto.ledger.events`."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = (Path(__file__).parent / "heads" / "ledger-and-events.md").read_text("utf-8")


def page() -> str:
    """Renders the page.

    Raises:
        LookupError: a field has no description; the message names it.
    """
    from lazaretto.ledger import events

    parts = [_HEAD]
    # A dataclass with slots leaves its first form behind as a second subclass: go by the module.
    kinds = [kind for kind in vars(events).values() if isinstance(kind, type)]
    for kind in (
        kind for kind in kinds if issubclass(kind, events.Event) and hasattr(kind, "kind")
    ):
        parts += _entry(f"`{kind.kind}`", kind)
    parts.append("\n## Parts of events\n")
    for part in _parts():
        parts += _entry(part.__name__, part)
    return "".join(parts)


def _entry(title: str, kind: type) -> Iterator[str]:
    text, _, attributes = (inspect.getdoc(kind) or "").partition("Attributes:")
    described = _described(attributes)
    yield f"\n### {title}\n\n{' '.join(text.replace('``', '`').split())}\n\n"
    yield "| field | type | meaning |\n|---|---|---|\n"
    for one in fields(kind):
        if not described.get(one.name):
            raise LookupError(f"{kind.__name__}.{one.name} has no description in its docstring")
        yield f"| `{one.name}` | {_type(str(one.type))} | {described[one.name]} |\n"


def _described(attributes: str) -> dict[str, str]:
    """Field to description, of a docstring's section."""
    items = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", attributes, re.MULTILINE)
    return {name: _cell(text) for name, text in items}


def _cell(text: str) -> str:
    flat = " ".join(text.replace("``", "`").replace("|", "\\|").split())
    flat = re.sub(r"\bNone\b", "null", flat)
    return flat if flat.startswith("sha256") else flat[:1].upper() + flat[1:]


def _parts() -> list[type]:
    """Every dataclass that a field of an event holds, in the order of `lazaretto.values`."""
    from lazaretto import values

    found = [part for part in vars(values).values() if is_dataclass(part)]
    return [part for part in found if isinstance(part, type) and part is not values.BatchRef]


def _type(text: str) -> str:
    return text.replace(" | None", ", or null").replace("|", "\\|")
