"""Distance of each raw column from its mean, in standard deviations."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from lazaretto.detect.columns import (
    Bounds,
    bounds,
    chunk_values,
    explain_columns,
    means,
    reference_values,
)
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from lazaretto.detect.arrays import Floats, State
    from lazaretto.detect.base import Chunk, Split


class ZScore:
    """The largest standardised deviation over the raw numeric columns.

    Sees gross errors in single columns. Blind to odd combinations of ordinary values.
    """

    name: ClassVar[str] = "zscore"
    requires: ClassVar[frozenset[str]] = frozenset({"values"})
    weights: ClassVar[tuple[float, ...]] = (0.5,)

    def __init__(self) -> None:
        self._columns: tuple[str, ...] = ()
        self._bounds: Bounds | None = None

    def fit(self, reference: Split) -> Self:
        """Fits mean and standard deviation per column, nulls left out."""
        values = reference_values(reference, self.name)
        mean = means(values)
        spread = np.sqrt(means(np.square(values - mean)))
        self._columns = reference.columns
        self._bounds = bounds(values, mean, mean, spread)
        return self

    def score(self, chunk: Chunk) -> Floats:
        """Float64 (n,), at least 0."""
        score: Floats = self._distances(chunk).max(1)
        return score

    def explain(self, chunk: Chunk) -> list[str]:
        """The worst column."""
        values = chunk_values(chunk, self.name)
        unit = "standard deviations from the mean"
        return explain_columns(self._distances(chunk), values, self._columns, unit)

    def state(self) -> dict[str, State]:
        """Mean and spread per column."""
        fitted = self._require()
        return {key: getattr(fitted, key) for key in Bounds.__slots__}

    def restore(self, state: dict[str, State], reference: Split) -> Self:
        """Brings them back."""
        self._columns = reference.columns
        self._bounds = Bounds(**state)
        return self

    def _distances(self, chunk: Chunk) -> Floats:
        return self._require().distances(chunk_values(chunk, self.name))

    def _require(self) -> Bounds:
        if self._bounds is None:
            raise UsageError(f"{self.name}: fit it before scoring")
        return self._bounds
