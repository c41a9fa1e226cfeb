"""A policy with all that its bases say, and the file and line of each key, for people and JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lazaretto.cli.layout import grid
from lazaretto.cli.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import RenderableType


def merged(file: Path) -> Reply:
    """What a policy file and its bases say together.

    Raises:
        PolicyError: one cannot be read, or loosens its base.
    """
    from lazaretto.policy import Policy
    from lazaretto.policy.file import read_merged

    policy = Policy.load(file)
    document = read_merged(Policy, file)
    rows: list[tuple[object, ...]] = []
    for place, value in _leaves(document.content, ()):
        places = (place[:n] for n in range(len(place), 0, -1))
        at, line = next(document.lines[p] for p in places if p in document.lines)
        rows.append((".".join(place), json.dumps(value, ensure_ascii=False), f"{at}:{line}"))
    data = {
        "path": str(file),
        "dataset": policy.dataset,
        "bases": document.bases,
        "says": document.content,
        "from": {str(key): where for key, _, where in rows},
    }
    return Reply(data, view(file, rows))


def view(file: Path, rows: list[tuple[object, ...]]) -> RenderableType:
    """The table of keys, each with its value and the file and line that says it."""
    columns = ["key", "value", "from"]
    return grid(columns, rows, title=f"{file} with its bases", text=["value", "from"])


def _leaves(content: dict[str, Any], at: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in content.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*at, key))
        else:
            yield (*at, key), value
