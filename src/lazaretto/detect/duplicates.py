"""Copies and near copies of trusted records, above all those that carry another label."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from lazaretto.detect.nearest import fitted_index, reaches
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    import numpy.typing as npt

    from lazaretto.detect.arrays import Floats, Ints, State
    from lazaretto.detect.base import Chunk, Split
    from lazaretto.detect.neighbours import NeighbourIndex

NEIGHBOURS = 5
"""How many of the nearest reference rows are looked through for a copy with another label."""


class Duplicates:
    """Closeness to a trusted record, in units of the usual distance to a nearest neighbour.

    * *copy*: to any trusted record.
    * *contradiction*: to one that carries another label (0 where none is near). The same content
      under two labels is what a poisoned copy of public data looks like.

    Copies among the records of one batch are counted by the batch test ``near_duplicates``.
    """

    name: ClassVar[str] = "duplicates"
    requires: ClassVar[frozenset[str]] = frozenset({"embedding"})
    weights: ClassVar[tuple[float, ...]] = (0.25, 0.5)

    def __init__(self) -> None:
        self._index: NeighbourIndex | None = None
        self._usual: Floats | None = None
        self._label: Ints | None = None
        self._classes: tuple[str, ...] = ()

    def fit(self, reference: Split) -> Self:
        """Measures the usual distance to a nearest neighbour."""
        usual = np.median(reaches(reference.index, 1), keepdims=True)
        return self.restore({"usual": usual}, reference)

    def score(self, chunk: Chunk) -> Floats:
        """Float32 (n, 2): copy, contradiction; (n, 1) without labels. 0 to about 7."""
        close, other = self._closeness(chunk)
        if other is None:
            closest: Floats = close.max(1, keepdims=True)
            return closest
        return np.stack([close.max(1), (close * other).max(1)], 1)

    def explain(self, chunk: Chunk) -> list[str]:
        """Whether it is a copy, and what the original is labelled."""
        close, other = self._closeness(chunk)
        found = fitted_index(self._index, self.name).search(chunk, NEIGHBOURS)
        texts = []
        for row in range(len(chunk)):
            nearest = int(found.row[row, 0])
            text = f"{float(np.exp(close[row, 0])):.3g} times closer to a trusted record than usual"
            if other is not None and self._label is not None and bool(other[row, 0]):
                text += f", which is labelled {self._classes[int(self._label[nearest])]!r}"
            texts.append(text)
        return texts

    def state(self) -> dict[str, State]:
        """The usual distance."""
        if self._usual is None:
            raise UsageError("duplicates: fit it before scoring")
        return {"usual": self._usual}

    def restore(self, state: dict[str, State], reference: Split) -> Self:
        """Brings it back."""
        self._usual = state["usual"]
        self._index = reference.index
        self._label = reference.rows.label
        self._classes = reference.classes
        return self

    def _closeness(self, chunk: Chunk) -> tuple[Floats, npt.NDArray[np.bool_] | None]:
        """Log of usual over own distance (n, k), 0 to 7; which neighbours disagree, (n, k)."""
        index = fitted_index(self._index, self.name)
        if self._usual is None:
            raise UsageError("duplicates: fit it before scoring")
        found = index.search(chunk, NEIGHBOURS)
        ratio = np.maximum(self._usual, 1e-12) / np.maximum(found.distance, 1e-12)
        close = np.clip(np.log(ratio), 0, 7)
        if chunk.label is None or self._label is None:
            return close, None
        return close, self._label[found.row] != chunk.label[:, None]
