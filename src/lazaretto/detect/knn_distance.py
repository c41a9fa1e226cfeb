"""Distance of a record to its nearest reference rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from lazaretto.detect.nearest import checked_k, fitted_index

if TYPE_CHECKING:
    from lazaretto.detect.arrays import Floats, State
    from lazaretto.detect.base import Chunk, Split
    from lazaretto.detect.neighbours import NeighbourIndex


class KnnDistance:
    """Mean Euclidean distance to the k nearest reference rows (Angiulli and Pizzuti, 2002).

    Sees records far from everything trusted. Blind to flipped labels and to whatever lies close.

    Args:
        k: neighbours, at least 1.
    """

    name: ClassVar[str] = "knn_distance"
    requires: ClassVar[frozenset[str]] = frozenset({"embedding"})
    weights: ClassVar[tuple[float, ...]] = (0.5,)

    def __init__(self, k: int = 10) -> None:
        self.k = checked_k(self.name, k)
        self._index: NeighbourIndex | None = None

    def fit(self, reference: Split) -> Self:
        """Takes the reference's index."""
        return self.restore({}, reference)

    def score(self, chunk: Chunk) -> Floats:
        """Float32 (n,), at least 0."""
        found = fitted_index(self._index, self.name).search(chunk, self.k)
        score: Floats = found.distance.mean(1)
        return score

    def explain(self, chunk: Chunk) -> list[str]:
        """The mean distance."""
        return [
            f"at mean distance {far:.4g} from its {self.k} nearest trusted records"
            for far in self.score(chunk).tolist()
        ]

    def state(self) -> dict[str, State]:
        """Nothing: the index is the FIT split's."""
        return {}

    def restore(self, state: dict[str, State], reference: Split) -> Self:  # noqa: ARG002
        """Takes the reference's index."""
        self._index = reference.index
        return self
