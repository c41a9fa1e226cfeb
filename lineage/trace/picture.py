"""Lays out the paths of a trace for an SVG: batches on the left, models on the right."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_PATHS = 200
_WIDTH, _HEIGHT, _ACROSS, _DOWN, _CHARACTERS = 260, 26, 340, 36, 38


class Box(NamedTuple):
    """One node: its whole label, the end of it that fits, and its place in pixels."""

    label: str
    short: str
    x: int
    y: int
    width: int = _WIDTH
    height: int = _HEIGHT


@dataclass(frozen=True, slots=True)
class Picture:
    """What the report's template draws.

    Attributes:
        width: of the whole, in pixels.
        height: likewise.
        curves: path data of each edge; numbers only.
        boxes: the nodes; their labels are as hostile as the names in the trace.
        cut: whether there were more paths than are drawn.
        most_paths: how many paths are drawn at most.
    """

    width: int
    height: int
    curves: list[str]
    boxes: list[Box]
    cut: bool
    most_paths: int = MAX_PATHS


def picture(paths: Sequence[Sequence[str]]) -> Picture | None:
    """Lays out paths; None when there is none.

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
        return None
    rows: dict[int, int] = {}
    where: dict[str, tuple[int, int]] = {}
    for label, place in column.items():
        row = rows[place] = rows.get(place, -1) + 1
        where[label] = (10 + place * _ACROSS, 10 + row * _DOWN)
    return Picture(
        width=20 + max(rows) * _ACROSS + _WIDTH,
        height=20 + max(rows.values()) * _DOWN + _HEIGHT,
        curves=[_curve(where[a], where[b]) for a, b in edges],
        boxes=[Box(label, _end_of(label), *place) for label, place in where.items()],
        cut=len(paths) > MAX_PATHS,
    )


def _curve(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1 = start[0] + _WIDTH, start[1] + _HEIGHT // 2
    x2, y2 = end[0], end[1] + _HEIGHT // 2
    middle = (x1 + x2) // 2
    return f"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}"


def _end_of(label: str) -> str:
    # Ids differ at their end.
    return label if len(label) <= _CHARACTERS else f"…{label[1 - _CHARACTERS :]}"
