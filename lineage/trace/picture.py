"""Draws the paths of a trace as an SVG: batches on the left, models on the right."""

from __future__ import annotations

from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_PATHS = 200
_WIDTH, _HEIGHT, _ACROSS, _DOWN, _CHARACTERS = 260, 26, 340, 36, 38


def picture(paths: Sequence[Sequence[str]]) -> str:
    """An SVG of the paths, every label escaped; empty when there is none.

    Args:
        paths: labels from a batch to a model; only the first 200 are drawn.
    """
    column: dict[str, int] = {}
    edges: dict[tuple[str, str], None] = {}
    for path in paths[:MAX_PATHS]:
        for place, label in enumerate(path):
            column[label] = max(column.get(label, 0), place)
        edges |= dict.fromkeys(pairwise(path))
    if not column:
        return ""
    rows: dict[int, int] = {}
    where: dict[str, tuple[int, int]] = {}
    for label, place in column.items():
        row = rows[place] = rows.get(place, -1) + 1
        where[label] = (10 + place * _ACROSS, 10 + row * _DOWN)
    width = 20 + max(rows) * _ACROSS + _WIDTH
    height = 20 + max(rows.values()) * _DOWN + _HEIGHT
    return "".join(
        [
            f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
            'aria-label="Paths from batches to models">',
            *(_edge(where[a], where[b]) for a, b in edges),
            *(_node(label, *place) for label, place in where.items()),
            "</svg>",
        ]
    )


def _edge(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1 = start[0] + _WIDTH, start[1] + _HEIGHT // 2
    x2, y2 = end[0], end[1] + _HEIGHT // 2
    middle = (x1 + x2) // 2
    return f'<path d="M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}"/>'


def _node(label: str, x: int, y: int) -> str:
    short = label if len(label) <= _CHARACTERS else f"…{label[1 - _CHARACTERS :]}"
    return (
        f'<g><title>{escape(label)}</title><rect x="{x}" y="{y}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" rx="4"/><text x="{x + 8}" y="{y + 17}">{escape(short)}</text></g>'
    )
