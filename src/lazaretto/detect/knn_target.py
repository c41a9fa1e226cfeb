"""A numeric target that does not fit those of the record's nearest reference rows: regression."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from lazaretto.detect.columns import RARE_NULLS
from lazaretto.detect.nearest import checked_k, fitted_index
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from lazaretto.detect.arrays import Floats, State
    from lazaretto.detect.base import Chunk, Split
    from lazaretto.detect.neighbours import NeighbourIndex

NO_TARGET = 1e6
"""What a record without a target scores, in spreads: more than any with one."""
LEAST_SPREAD = 0.25
"""A neighbourhood's spread counts as at least this share of the usual one: k targets that happen to
be alike are no proof that the next one must be."""


class KnnTarget:
    """How far a target lies from the median of its neighbours' targets, in their own spread.

    The residual of a nearest-neighbour regression (Cover, 1968, "Estimation by the nearest neighbor
    rule") by medians, which poisoned trusted rows can move little. The spread is the mean absolute
    deviation of the neighbours' targets from their median, mixed with the usual one: targets that
    vary more somewhere may differ more there.

    Args:
        k: neighbours, at least 1.
        column: the numeric column of the target. It may be left out where there is one only.

    Raises:
        UsageError: `k` out of range, or `column` is no name.
    """

    name: ClassVar[str] = "knn_target"
    requires: ClassVar[frozenset[str]] = frozenset({"embedding", "values"})
    weights: ClassVar[tuple[float, ...]] = (1.0,)

    def __init__(self, k: int = 20, *, column: str | None = None) -> None:
        self.k = checked_k(self.name, k)
        if column is not None and not isinstance(column, str):
            raise UsageError(
                f"screen.detectors.knn_target.column: must name a column, not {column!r}"
            )
        self.column = column
        self._place = 0
        self._null_score = NO_TARGET
        self._target: Floats | None = None
        self._usual: Floats | None = None
        self._index: NeighbourIndex | None = None

    def fit(self, reference: Split) -> Self:
        """Measures the usual spread of a neighbourhood's targets."""
        self.restore({"usual": np.ones(1)}, reference)
        near = reference.index.among_itself(self.k)
        if not near.row.shape[1] or self._target is None:
            return self
        targets = self._target[near.row]
        middle = np.median(targets, axis=1, keepdims=True)
        usual = float(np.median(np.abs(targets - middle).mean(1)))
        least = max(usual, 1e-6 * float(self._target.std()), 1e-12)
        return self.restore({"usual": np.array([least])}, reference)

    def score(self, chunk: Chunk) -> Floats:
        """Float64 (n,): 0 where the target is the neighbours' median."""
        middle, spread, own = self._residuals(chunk)
        score: Floats = np.abs(own - middle) / spread
        return np.where(np.isfinite(own), np.minimum(score, NO_TARGET), self._null_score)

    def explain(self, chunk: Chunk) -> list[str]:
        """The target, and what is usual there."""
        middle, spread, own = self._residuals(chunk)
        return [
            f"its target is {mine:.5g}, and its {self.k} nearest trusted records have about "
            f"{usual:.5g}, give or take {by:.3g}"
            if np.isfinite(mine)
            else "it has no target"
            for usual, by, mine in zip(middle.tolist(), spread.tolist(), own.tolist(), strict=True)
        ]

    def state(self) -> dict[str, State]:
        """The usual spread."""
        if self._usual is None:
            raise UsageError("knn_target: fit it before scoring")
        return {"usual": self._usual}

    def restore(self, state: dict[str, State], reference: Split) -> Self:
        """Takes targets and index from the FIT split."""
        self._place = self._position(reference.columns)
        values = reference.rows.values
        if values is None:
            raise UsageError("screen.detectors.knn_target: there is no numeric column")
        target = values[:, self._place].astype(np.float64)
        known = target[np.isfinite(target)]
        # Where trusted rows often have no target, a record without one is nothing new.
        self._null_score = NO_TARGET if len(known) > (1 - RARE_NULLS) * len(target) else 0.0
        # A neighbour without a target counts as the middle of all.
        target = np.where(np.isfinite(target), target, np.median(known) if len(known) else 0.0)
        self._target, self._usual, self._index = target, state["usual"], reference.index
        return self

    def _position(self, columns: tuple[str, ...]) -> int:
        if self.column is None and len(columns) == 1:
            return 0
        if self.column is None or self.column not in columns:
            there = ", ".join(columns[:20]) or "none"
            raise UsageError(
                "screen.detectors.knn_target.column: name the column of the target "
                f"(numeric columns: {there})"
            )
        return columns.index(self.column)

    def _residuals(self, chunk: Chunk) -> tuple[Floats, Floats, Floats]:
        """Median and spread of the neighbours' targets, and the own target, float64 (n,) each."""
        index = fitted_index(self._index, self.name)
        if self._target is None or self._usual is None or chunk.values is None:
            raise UsageError("knn_target: the records have no numeric columns")
        targets = self._target[index.search(chunk, self.k).row]
        middle = np.median(targets, axis=1)
        near = np.abs(targets - middle[:, None]).mean(1)
        usual = float(self._usual[0])
        spread = np.maximum((near + usual) / 2, LEAST_SPREAD * usual)
        return middle, spread, chunk.values[:, self._place].astype(np.float64)
