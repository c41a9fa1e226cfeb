"""Disagreement of a record's label with the labels of its nearest reference rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from lazaretto.detect.arrays import own_column
from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from lazaretto.detect.arrays import Floats, Ints, State
    from lazaretto.detect.base import Chunk, Split
    from lazaretto.detect.neighbours import NeighbourIndex


class KnnLabel:
    """Weighted share of the k nearest reference rows that carry another label than the record.

    After Deep k-NN (Peri et al., 2020, section 3) with a trusted reference in place of the suspect
    set. Neighbours count by closeness, relative to the farthest of the k, so that the score has few
    ties; and, when balanced, by the inverse of their class's share, so that a rare class is not
    outvoted.

    Args:
        k: neighbours, at least 1.
        balanced: whether a neighbour counts by the inverse of its class's share.

    Raises:
        UsageError: `k` out of range, or `balanced` is no boolean.
    """

    name: ClassVar[str] = "knn_label"
    requires: ClassVar[frozenset[str]] = frozenset({"embedding", "label"})
    weights: ClassVar[tuple[float, ...]] = (1.0,)

    def __init__(self, k: int = 20, *, balanced: bool = True) -> None:
        if not isinstance(k, int) or k < 1:
            raise UsageError(
                f"screen.detectors.knn_label.k: must be a whole number from 1, not {k!r}"
            )
        if not isinstance(balanced, bool):
            raise UsageError(
                f"screen.detectors.knn_label.balanced: must be true or false, not {balanced!r}"
            )
        self.k = k
        self.balanced = balanced
        self._classes: tuple[str, ...] = ()
        self._label: Ints | None = None
        self._weight: Floats | None = None
        self._index: NeighbourIndex | None = None

    def fit(self, reference: Split) -> Self:
        """Takes the reference's labels and their shares."""
        return self.restore({}, reference)

    def score(self, chunk: Chunk) -> Floats:
        """Float64 (n,), 0 (every neighbour agrees) to 1."""
        votes, label = self._votes(chunk)
        score: Floats = 1 - own_column(votes, label)
        return score

    def explain(self, chunk: Chunk) -> list[str]:
        """What its neighbours are labelled."""
        votes, label = self._votes(chunk)
        share, winner = votes.max(1), votes.argmax(1)
        return [
            f"labelled {self._classes[given]!r}, but of its {self.k} nearest trusted records "
            f"{best:.0%} (by weight) are {self._classes[other]!r}"
            if given != other
            else f"{best:.0%} (by weight) of its {self.k} nearest trusted records share its label"
            for given, other, best in zip(
                label.tolist(), winner.tolist(), share.tolist(), strict=True
            )
        ]

    def state(self) -> dict[str, State]:
        """Nothing: rows, labels and index are the FIT split's."""
        return {}

    def restore(self, state: dict[str, State], reference: Split) -> Self:  # noqa: ARG002
        """Takes everything from the FIT split."""
        label = reference.rows.label
        if label is None:
            raise UsageError("screen.detectors.knn_label: needs columns.label in the policy")
        self._classes = reference.classes
        self._label = label
        counts = np.maximum(np.bincount(label, minlength=len(reference.classes)), 1)
        self._weight = 1 / counts if self.balanced else np.ones(len(counts))
        self._index = reference.index
        return self

    def _votes(self, chunk: Chunk) -> tuple[Floats, Ints]:
        """Share of the votes per class, float64 (n, C), and the labels given, (n,)."""
        if self._index is None or self._label is None or self._weight is None:
            raise UsageError("knn_label: fit it before scoring")
        if chunk.label is None:
            raise UsageError("knn_label: the records have no labels")
        found = self._index.search(chunk, self.k)
        label = self._label[found.row]
        reach = np.maximum(found.distance[:, -1:], 1e-12)
        weight = np.exp(-0.5 * np.square(found.distance / reach)) * self._weight[label]
        rows, classes = len(chunk), len(self._classes)
        place = np.arange(rows)[:, None] * classes + label
        counted = np.bincount(place.ravel(), weight.ravel(), minlength=rows * classes)
        votes = counted.reshape(rows, classes)
        return votes / votes.sum(1, keepdims=True), chunk.label
