"""Lays out the paths of a trace for an SVG: batches on the left, models on the right.

Each step has a line by what it rests on: known, inferred by a rule, or possible.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_PATHS = 200
BASES = ("known", "inferred", "possible")
"""What a step rests on, the surest first."""
_WIDTH, _HEIGHT, _ACROSS, _DOWN, _CHARACTERS = 260, 26, 340, 36, 33


class Curve(NamedTuple):
    """One step: its path data, which is numbers only, and what it rests on."""

    data: str
    basis: str


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
        curves: the steps.
        boxes: the nodes; their labels are as hostile as the names in the trace.
        cut: whether there were more paths than are drawn.
        most_paths: how many paths are drawn at most.
    """

    width: int
    height: int
    curves: list[Curve]
    boxes: list[Box]
    cut: bool
    most_paths: int = MAX_PATHS

    @property
    def bases(self) -> list[str]:
        """What its steps rest on, each once."""
        drawn = {curve.basis for curve in self.curves}
        return [basis for basis in BASES if basis in drawn]


def picture(paths: Sequence[Sequence[str]], bases: Sequence[Sequence[str]] = ()) -> Picture | None:
    """Lays out paths; None when there is none.

    Args:
        paths: labels from a batch to a model; only the first 200 are drawn.
        bases: for each path what each step rests on, as `TracedModel.bases` has it; known where
            nothing is said. Of two ways between the same two the surer one is drawn.
    """
    column: dict[str, int] = {}
    edges: dict[tuple[str, str], str] = {}
    for path, told in zip_longest(paths[:MAX_PATHS], bases[:MAX_PATHS], fillvalue=()):
        for place, label in enumerate(path):
            column[label] = max(column.get(label, 0), place)
        for edge, basis in zip_longest(pairwise(path), told, fillvalue=BASES[0]):
            if isinstance(edge, tuple):
                drawn = [edges.get(edge, BASES[-1]), basis.partition(":")[0]]
                edges[edge] = min(drawn, key=BASES.index)
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
        curves=[Curve(_curve(where[a], where[b]), basis) for (a, b), basis in edges.items()],
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
