"""Distance of each raw column beyond its quartiles, in interquartile ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from lazaretto.detect.columns import bounds, explain_columns, quantiles, reference_values
from lazaretto.detect.columns import chunk_values as values_of
from lazaretto.detect.zscore import ZScore

if TYPE_CHECKING:
    from lazaretto.detect.base import Chunk, Split


class Tukey(ZScore):
    """The largest distance beyond the quartiles over the raw columns (Tukey, 1977, chapter 2).

    Like `ZScore`, but the fences come from quartiles, which outliers in the reference do not move.
    The classic fence is at 1.5; calibration takes its place.
    """

    name: ClassVar[str] = "tukey"

    def fit(self, reference: Split) -> Self:
        """Fits the quartiles per column, nulls left out."""
        values = reference_values(reference, self.name)
        low, high = quantiles(values, 0.25), quantiles(values, 0.75)
        self._columns = reference.columns
        self._bounds = bounds(values, low, high, high - low)
        return self

    def explain(self, chunk: Chunk) -> list[str]:
        """The worst column."""
        values = values_of(chunk, self.name)
        unit = "interquartile ranges beyond the quartiles"
        return explain_columns(self._distances(chunk), values, self._columns, unit)
