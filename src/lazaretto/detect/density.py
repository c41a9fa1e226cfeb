"""Local density at a record against what the reference expects there, in both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from lazaretto.detect.nearest import checked_k, fitted_index, reaches, smallest
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    import numpy.typing as npt

    from lazaretto.detect.arrays import Floats, State
    from lazaretto.detect.base import Chunk, Split
    from lazaretto.detect.neighbours import NeighbourIndex, Neighbours

COPY = 1e-3
"""Nearer to a trusted row than such a share of what is usual there, a record is a copy of it."""
_ROUNDING = 1e-2


class Density:
    """Two views of one ratio: the record's distance to its k nearest reference rows, over theirs.

    * *isolated*: the ratio's logarithm, that of the local outlier factor (Breunig et al., 2000):
      distances to a trusted row count as at least that row's own distance to its k-th neighbour.
    * *dense*: its negative for the single nearest row. A record closer to a trusted one than
      trusted records are to each other is a near copy: a flood made from known texts.

    A copy of a trusted row, nearer to it than a thousandth of what is usual there, is neither: its
    place is trusted, and data that is delivered again is no poison. Views of the label see a copy
    that carries another label; the detector ``duplicates`` sees all copies.

    Copies within a batch that no trusted record resembles cannot show in a score that looks at one
    record alone; the batch test ``near_duplicates`` is there for them.

    Args:
        k: neighbours, at least 1.
    """

    name: ClassVar[str] = "density"
    requires: ClassVar[frozenset[str]] = frozenset({"embedding"})
    weights: ClassVar[tuple[float, ...]] = (0.5, 0.25)

    def __init__(self, k: int = 10) -> None:
        self.k = checked_k(self.name, k)
        self._index: NeighbourIndex | None = None
        self._farthest: Floats | None = None
        self._reach: Floats | None = None
        self._nearest: Floats | None = None
        self._rows: Floats | None = None
        self._center: Floats | None = None

    def fit(self, reference: Split) -> Self:
        """Measures how far each reference row is from its neighbours."""
        near = reference.index.among_itself(self.k)
        nearest = reaches(reference.index, 1)
        if not near.distance.shape[1]:
            return self.restore(
                {"farthest": nearest, "reach": nearest, "nearest": nearest}, reference
            )
        farthest = near.distance[:, -1].copy()
        reach = np.maximum(near.distance, farthest[near.row]).mean(1)
        reach = np.maximum(reach, smallest(reach))
        return self.restore({"farthest": farthest, "reach": reach, "nearest": nearest}, reference)

    def score(self, chunk: Chunk) -> Floats:
        """Float32 (n, 2): isolated, dense."""
        return self._seen(chunk)[0]

    def explain(self, chunk: Chunk) -> list[str]:
        """Which direction, and by what factor."""
        scores, copy = self._seen(chunk)
        return [
            "the same as a trusted record"
            if same
            else f"{isolated:.3g} times as far from its {self.k} nearest trusted records as those "
            "are from their own neighbours"
            if isolated >= dense
            else f"{dense:.3g} times closer to a trusted record than those are to each other"
            for (isolated, dense), same in zip(np.exp(scores).tolist(), copy.tolist(), strict=True)
        ]

    def _seen(self, chunk: Chunk) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """The scores, and which records are copies of trusted rows."""
        index = fitted_index(self._index, self.name)
        if self._farthest is None or self._reach is None or self._nearest is None:
            raise UsageError("density: fit it before scoring")
        found = index.search(chunk, self.k)
        own = np.maximum(found.distance, self._farthest[found.row]).mean(1)
        there = (1 / self._reach[found.row]).mean(1)
        isolated = np.log(np.maximum(own, 1e-12)) + np.log(there)
        expected = np.log(self._nearest[found.row]).mean(1)
        # Closer than a thousandth of what is usual is a copy; what is left is above -7.
        ratio = np.maximum(np.log(np.maximum(found.distance[:, 0], 1e-12)) - expected, -7.0)
        copy = self._copies(chunk.embedding, found, COPY * np.exp(expected))
        isolated[copy] = np.minimum(isolated[copy], 0)
        ratio[copy] = 0
        return np.stack([isolated, -ratio], 1), copy

    def _copies(self, vectors: Floats, found: Neighbours, reach: Floats) -> npt.NDArray[np.bool_]:
        """Which vectors are a trusted row but for rounding.

        Args:
            vectors: float32 (n, d).
            found: their neighbours.
            reach: float32 (n,), up to which distance they are the same.
        """
        if self._rows is None or self._center is None:
            raise UsageError("density: fit it before scoring")
        # Distances by products have lost too many digits to tell, so those of a few are made anew.
        lost = _ROUNDING * np.linalg.norm(vectors - self._center, axis=1)
        near = np.flatnonzero(found.distance[:, 0] <= np.maximum(10 * reach, lost))
        copy = np.zeros(len(vectors), dtype=bool)
        for row in found.row[near].T:
            apart = np.linalg.norm(vectors[near] - self._rows[row], axis=1)
            copy[near] |= apart <= reach[near]
        return copy

    def state(self) -> dict[str, State]:
        """How far the reference rows are from their neighbours."""
        if self._farthest is None or self._reach is None or self._nearest is None:
            raise UsageError("density: fit it before scoring")
        return {"farthest": self._farthest, "reach": self._reach, "nearest": self._nearest}

    def restore(self, state: dict[str, State], reference: Split) -> Self:
        """Brings them back."""
        self._index = reference.index
        self._rows = reference.rows.embedding
        self._center = self._rows.mean(0)
        self._farthest = state["farthest"]
        self._reach = state["reach"]
        self._nearest = state["nearest"]
        return self
