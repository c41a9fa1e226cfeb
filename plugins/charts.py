"""Charts that the server draws: where bars, points and lines of an SVG are. Numbers only."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT = 760, 180
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 8, 10, 10
_SCALES = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
_LOWEST = -3.0
_MOST_LINES = 6


@dataclass(frozen=True, slots=True)
class Line:
    """A line across the chart.

    Attributes:
        y: its height, in units of the picture.
        text: what it stands for.
        alarm: whether it is the one from which on something is wrong.
    """

    y: float
    text: str
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A bar or a point.

    Attributes:
        x: of its left edge, or of the point.
        y: of its upper edge, or of the point.
        width: of a bar; 0 for a point.
        height: of a bar.
        text: what it says when it is pointed at; may come from an attacker.
    """

    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture of `WIDTH` times `HEIGHT`.

    Attributes:
        lines: across it, with their names at the left.
        marks: bars or points.
        path: points of a line through the marks, as SVG writes them; empty for bars.
    """

    lines: list[Line]
    marks: list[Mark]
    path: str = ""
    width: int = WIDTH
    height: int = HEIGHT


def bars(shares: Sequence[tuple[float | None, str]]) -> Chart:
    """A bar for each share, from 0 to 1, in order; None leaves a gap.

    Args:
        shares: each with its text.
    """
    most = max((share for share, _ in shares if share is not None), default=0.0)
    top = next(scale for scale in _SCALES if scale >= min(most, 1.0))
    step = _room() / max(1, len(shares))
    marks = [
        Mark(
            x=round(_LEFT + place * step + 0.1 * step, 1),
            y=_y(share / top),
            width=round(0.8 * step, 1),
            # A share that is not zero can be seen.
            height=round(max(HEIGHT - _BOTTOM - _y(share / top), 1.0 if share else 0.0), 1),
            text=text,
        )
        for place, (share, text) in enumerate(shares)
        if share is not None
    ]
    lines = [Line(_y(part), f"{100 * part * top:g} %") for part in (0.0, 0.5, 1.0)]
    return Chart(lines, marks)


def powers(values: Sequence[tuple[float, str]], alarm: float | None) -> Chart:
    """A line through positive values, in order, on a scale of powers of ten.

    Args:
        values: each with its text.
        alarm: a value with a line of its own; None: there is none.
    """
    logs = [max(_LOWEST, log10(max(value, 1e-300))) for value, _ in values]
    at = None if alarm is None else log10(alarm)
    known = [0.0, *logs, *([] if at is None else [at])]
    low, high = floor(min(known)), max(1, ceil(max(known) + 0.1))
    step = max(1, ceil((high - low) / _MOST_LINES))

    def height(value: float) -> float:
        return _y((value - low) / (high - low))

    lines = [Line(height(power), _power(power)) for power in range(low, high + 1, step)]
    if at is not None:
        lines.append(Line(height(at), f"alarm at {alarm:g}", alarm=True))
    across = _room() / max(1, len(values))
    marks = [
        Mark(round(_LEFT + (place + 0.5) * across, 1), height(value), 0, 0, text)
        for place, (value, (_, text)) in enumerate(zip(logs, values, strict=True))
    ]
    return Chart(lines, marks, " ".join(f"{mark.x},{mark.y}" for mark in marks))


def _room() -> int:
    return WIDTH - _LEFT - _RIGHT


def _y(part: float) -> float:
    """Height of a part, from 0 at the bottom to 1 at the top."""
    return round(_TOP + (1 - part) * (HEIGHT - _TOP - _BOTTOM), 1)


def _power(power: int) -> str:
    return f"{10**power:g}" if -3 <= power <= 6 else f"1e{power}"
