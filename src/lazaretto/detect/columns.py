"""What the column detectors share: location and spread per raw column, and what a null means."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.detect.arrays import own_column
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from lazaretto.detect.arrays import Floats
    from lazaretto.detect.base import Chunk, Split

RARE_NULLS = 0.01
"""A column with a smaller share of nulls in the reference should have a value."""
NULL_SCORE = 6.0
"""What a null counts in such a column, in units of the column's spread."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """An interval per column, c columns.

    Attributes:
        low: (c,) lower end.
        high: (c,) upper end; equal to `low` for a point.
        unit: (c,) positive; distances from the interval are measured in it.
        null_score: (c,) what a null scores.
    """

    low: Floats
    high: Floats
    unit: Floats
    null_score: Floats

    def distances(self, values: Floats) -> Floats:
        """How far outside the interval each value is, in units, float64 (n, c); 0 inside."""
        wide = values.astype(np.float64)
        outside = np.maximum(np.maximum(self.low - wide, wide - self.high), 0) / self.unit
        return np.where(np.isnan(wide), self.null_score, outside)


def bounds(values: Floats, low: Floats, high: Floats, unit: Floats) -> Bounds:
    """Bounds fitted on the reference's values (n, c).

    A column without spread gets a tiny unit: any other value in it is news.
    """
    fallback = 1e-6 * np.maximum(np.maximum(np.abs(low), np.abs(high)), 1.0)
    rare = np.isnan(values).mean(0) < RARE_NULLS
    return Bounds(
        low=low,
        high=high,
        unit=np.where(unit > 0, unit, fallback),
        null_score=np.where(rare, NULL_SCORE, 0.0),
    )


def reference_values(reference: Split, name: str) -> Floats:
    """The reference's raw columns, float64 (n, c), or an error that says there are none."""
    values = reference.rows.values
    if values is None or not values.shape[1]:
        raise UsageError(
            f"screen.detectors.{name}: the trusted sample has no numeric column, and it needs one"
        )
    return values.astype(np.float64)


def chunk_values(chunk: Chunk, name: str) -> Floats:
    """The chunk's raw columns."""
    if chunk.values is None:
        raise UsageError(f"{name}: the records have no numeric columns")
    return chunk.values


def means(values: Floats) -> Floats:
    """The mean per column (c,), nulls left out; 0 for a column of nulls."""
    there = ~np.isnan(values)
    mean: Floats = np.where(there, values, 0.0).sum(0) / np.maximum(there.sum(0), 1)
    return mean


def quantiles(values: Floats, share: float) -> Floats:
    """A quantile per column (c,), nulls left out; 0 for a column of nulls."""
    columns = (column[~np.isnan(column)] for column in values.T)
    return np.array([np.quantile(known, share) if len(known) else 0.0 for known in columns])


def explain_columns(
    distances: Floats, values: Floats, columns: tuple[str, ...], unit: str
) -> list[str]:
    """One sentence per record about its worst column."""
    place = distances.argmax(1)
    worst, shown = own_column(distances, place), own_column(values, place)
    return [
        f"{columns[column]} is null, as in no trusted record"
        if isnan(value)
        else f"{columns[column]} = {value:.6g} is {far:.3g} {unit}"
        for column, value, far in zip(place.tolist(), shown.tolist(), worst.tolist(), strict=True)
    ]
