"""Signs of faults in numbers: one value, another unit, another sign, clipped, swapped columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lazaretto.drift._compare import farthest_apart
from lazaretto.drift._signs import Sign
from lazaretto.stats.counts import hypergeometric_tail

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from lazaretto.drift._compare import ColumnDrift
    from lazaretto.drift._sketch import Sketch

    Floats = npt.NDArray[np.float64]

UNITS = (1.609344, 2.54, 2.204623, 3.28084, 3.785412, 1.8)
"""Conversions between units that are no whole powers of ten; their inverses count too."""
LARGE_FACTOR = 1.9
"""A population does not grow by so much between two batches; another unit does."""
UNIT_TOLERANCE = 0.03
_NEARLY = 0.15
CLOSE = 1.36
"""Smirnov's 5 % point: what lies closer, in units of its standard error, is the same."""
CLEARLY = 0.4
"""The distance after undoing a fault, as a share of that before, must be at most this."""
ONE_VALUE = 0.2
"""From this share of one value more than in the reference a column was filled."""
ENDS = 0.04
"""Share of values at an end, from which on a column was clipped there."""


def number_signs(known: Sketch, here: Sketch, found: ColumnDrift) -> list[Sign]:
    """Signs in a numeric column, or in the lengths of texts, that differs from the reference.

    Args:
        known: the reference's column.
        here: the batch's.
        found: how they differ.
    """
    signs = [*_one_value(known, here), *_clipped(known, here, found.p_value)]
    if known.kind == "text":
        return [one for one in signs if one.kind == "one_value"]
    before = farthest_apart(known.values, here.values)
    near = _near(known, here)
    for kind, undone, what in _undone(known.values, here.values):
        after = farthest_apart(known.values, undone)
        if after <= max(near, 0.02) and after <= CLEARLY * before:
            weight = 0.9 - after / 10
            signs.append(Sign(kind, (known.name,), what, found.p_value, weight))
    return signs


def swapped(
    moved: Sequence[tuple[Sketch, Sketch]], p_values: Mapping[str, float], most: int = 30
) -> list[Sign]:
    """Pairs of columns, each of which is like the reference's other one.

    Args:
        moved: reference's and batch's sketches of the columns that moved.
        p_values: of each column.
        most: columns that are compared, at most.
    """
    signs, pairs = [], moved[:most]
    for i, (a, here_a) in enumerate(pairs):
        for b, here_b in pairs[i + 1 :]:
            if a.kind != b.kind:
                continue
            own = farthest_apart(a.values, here_a.values), farthest_apart(b.values, here_b.values)
            cross = farthest_apart(b.values, here_a.values), farthest_apart(a.values, here_b.values)
            close = max(_near(b, here_a), 0.03), max(_near(a, here_b), 0.03)
            if (
                cross[0] <= min(close[0], CLEARLY * own[0])
                and cross[1] <= min(close[1], CLEARLY * own[1])
            ):  # fmt: skip
                worse = max(p_values[a.name], p_values[b.name])
                what = "have each other's values"
                signs.append(Sign("swapped", (a.name, b.name), what, worse, 0.95))
    return signs


def _near(known: Sketch, here: Sketch) -> float:
    """How far apart two samples of one population may lie."""
    return float(CLOSE * np.sqrt(1 / here.rows + 1 / known.rows)) + 1 / len(known.values)


def _one_value(known: Sketch, here: Sketch) -> list[Sign]:
    values, counts = np.unique(here.values, return_counts=True)
    most = int(counts.argmax())
    share = counts[most] / len(here.values)
    usual = float((known.values == values[most]).mean())
    trusted, before = np.unique(known.values, return_counts=True)
    if share < usual + ONE_VALUE or len(before) < 2:
        return []
    # Where trusted values had such a peak, too, and it is gone, it has moved with the others.
    peak = float(before.max() / len(known.values))
    left = float((here.values == trusted[int(before.argmax())]).mean())
    if share < 1 and left < 0.5 * peak and share < 2 * peak:
        return []
    what = f"is {values[most]:.6g} in {share:.0%} of records ({usual:.0%} of trusted ones)"
    weight = 1.0 if share >= 1 else 0.6
    marked = round(share * here.rows)
    chance = hypergeometric_tail(
        marked, here.rows + known.rows, marked + round(usual * known.rows), here.rows
    )
    # Which value it is was seen first: as many values as there are could have been it.
    tried = len(values) + len(np.unique(known.values))
    return [Sign("one_value", (known.name,), what, min(1.0, chance * tried), weight)]


def _clipped(known: Sketch, here: Sketch, p_value: float) -> list[Sign]:
    """Values that pile up at an end beyond which trusted ones go on."""
    signs = []
    for end, word in ((here.values[-1], "above"), (here.values[0], "below")):
        pile = float((here.values == end).mean())
        beyond = float(((known.values > end) if word == "above" else (known.values < end)).mean())
        usual = float((known.values == end).mean())
        if len(np.unique(here.values)) > 2 and pile >= usual + ENDS and beyond >= ENDS:
            what = f"has no value {word} {end:.6g}, where {beyond:.0%} of trusted ones lie"
            signs.append(Sign("clipped", (known.name,), what, p_value, 0.85))
    return signs


def _undone(known: Floats, here: Floats) -> list[tuple[str, Floats, str]]:
    """What the batch's values would be without a fault: kind, values, and the fault in words."""
    found: list[tuple[str, Floats, str]] = []
    factor = _factor(known, here)
    if factor is not None and _is_unit(factor):
        found.append(("scaled", here / factor, f"is about {_round(factor):.4g} times what it was"))
    if factor is not None and _is_unit(-factor):
        found.append(("scaled", here / factor, f"is about {_round(factor):.4g} times what it was"))
    found.append(("sign", -here, "has the other sign"))
    scale = _spread(here) / max(_spread(known), 1e-300)
    shift = float(np.median(here) - scale * np.median(known))
    standard = abs(float(here.mean())) < 0.15 and abs(float(here.std()) - 1) < 0.15
    if scale > 0 and (standard or _is_celsius(scale, shift) or _is_unit_interval(here, known)):
        what = f"is about {scale:.3g} times what it was, {shift:+.3g}"
        found.append(("shifted", (here - shift) / scale, what))
    if known.min() >= 0 and here.max() < 50 and known.max() > 20:
        with np.errstate(over="ignore"):
            found.append(("log", np.expm1(here), "is the logarithm of what it was"))
            found.append(("log", np.exp(here), "is the logarithm of what it was"))
    return found


def _factor(known: Floats, here: Floats) -> float | None:
    """By what the values were multiplied, from their quantiles; None where that says nothing."""
    at = np.linspace(0.05, 0.95, 19)
    sizes = np.abs(known), np.abs(here)
    before, now = (np.quantile(values, at) for values in sizes)
    usable = before > 1e-9 * max(float(before.max()), 1e-300)
    if not usable.any() or not now[usable].all():
        usable = usable & (now > 0)
    if not usable.any():
        return None
    return float(np.median(now[usable] / before[usable]))


def _is_unit(factor: float) -> bool:
    """Whether a change of unit explains a factor better than a change of the population."""
    size = factor if factor >= 1 else 1 / factor if factor > 0 else 0.0
    if size >= LARGE_FACTOR:
        return True
    return any(abs(size / unit - 1) <= UNIT_TOLERANCE for unit in UNITS)


def _round(factor: float) -> float:
    """The power of ten or conversion that a factor is nearly, or itself."""
    powers = [10.0**power for power in range(-9, 10) if power]
    usual = [*powers, *UNITS, *(1 / unit for unit in UNITS), 60.0, 1 / 60]
    nearest = min(usual, key=lambda one: abs(np.log(abs(factor) / one)))
    near = abs(np.log(abs(factor) / nearest)) < _NEARLY
    return float(np.copysign(nearest, factor)) if near else factor


def _is_celsius(scale: float, shift: float) -> bool:
    """Degrees Fahrenheit from Celsius, or back."""
    there = abs(scale / 1.8 - 1) < 0.1 and abs(shift - 32) < 8
    back = abs(scale * 1.8 - 1) < 0.1 and abs(shift + 32 / 1.8) < 5
    return there or back


def _is_unit_interval(here: Floats, known: Floats) -> bool:
    """Rescaled to 0 to 1, as a normalisation step does it."""
    wide = known.max() - known.min() > 2
    return bool(wide and -1e-9 <= here.min() < 0.05 and 0.5 < here.max() <= 1 + 1e-9)


def _spread(values: Floats) -> float:
    low, high = np.quantile(values, [0.1, 0.9])
    return float(high - low)
