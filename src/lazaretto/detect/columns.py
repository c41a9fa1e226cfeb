"""What the column detectors share: location and spread per raw column, and what a null means."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING

import torch

from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

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

    low: Tensor
    high: Tensor
    unit: Tensor
    null_score: Tensor

    def distances(self, values: Tensor) -> Tensor:
        """How far outside the interval each value is, in units, float64 (n, c); 0 inside."""
        wide = values.double()
        outside = torch.maximum(self.low - wide, wide - self.high).clamp(min=0) / self.unit
        return torch.where(wide.isnan(), self.null_score, outside)


def bounds(values: Tensor, low: Tensor, high: Tensor, unit: Tensor) -> Bounds:
    """Bounds fitted on the reference's values (n, c).

    A column without spread gets a tiny unit: any other value in it is news.
    """
    fallback = 1e-6 * torch.maximum(low.abs(), high.abs()).clamp(min=1.0)
    rare = values.isnan().double().mean(0) < RARE_NULLS
    return Bounds(
        low=low,
        high=high,
        unit=torch.where(unit > 0, unit, fallback),
        null_score=torch.where(rare, NULL_SCORE, 0.0).double(),
    )


def reference_values(reference: Split, name: str) -> Tensor:
    """The reference's raw columns, float64 (n, c), or an error that says there are none."""
    values = reference.rows.values
    if values is None or not values.shape[1]:
        raise UsageError(
            f"screen.detectors.{name}: the trusted sample has no numeric column, and it needs one"
        )
    return values.double()


def chunk_values(chunk: Chunk, name: str) -> Tensor:
    """The chunk's raw columns."""
    if chunk.values is None:
        raise UsageError(f"{name}: the records have no numeric columns")
    return chunk.values


def quantiles(values: Tensor, share: float) -> Tensor:
    """A quantile per column (c,), nulls left out; 0 for a column of nulls."""
    return torch.nanquantile(values, share, dim=0).nan_to_num()


def explain_columns(
    distances: Tensor, values: Tensor, columns: tuple[str, ...], unit: str
) -> list[str]:
    """One sentence per record about its worst column."""
    worst, place = distances.max(1)
    shown = values.gather(1, place.unsqueeze(1)).squeeze(1).tolist()
    return [
        f"{columns[column]} is null, as in no trusted record"
        if isnan(value)
        else f"{columns[column]} = {value:.6g} is {far:.3g} {unit}"
        for column, value, far in zip(place.tolist(), shown, worst.tolist(), strict=True)
    ]
