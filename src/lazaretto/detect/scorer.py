"""One fitted portfolio: detectors, their reference ranks, and the calibration rows' ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.detect.base import Chunk
from lazaretto.detect.registry import make_detector
from lazaretto.detect.tail import TailRank

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    import numpy.typing as npt

    from lazaretto.detect.arrays import Floats, Ints
    from lazaretto.detect.base import Detector, Split


@dataclass(frozen=True, slots=True)
class Scorer:
    """Detectors fitted on FIT, ranked on RANK, and what they said of CAL: disjoint rows.

    Attributes:
        split: the FIT rows.
        detectors: by name, fitted.
        ranks: by detector, one map per view.
        calibration: float64 (n, J), ranks of the CAL rows, one column per detector.
        calibration_label: int64 (n,), their classes; empty without labels.
    """

    split: Split
    detectors: Mapping[str, Detector]
    ranks: Mapping[str, tuple[TailRank, ...]]
    calibration: Floats
    calibration_label: Ints

    @classmethod
    def fit(
        cls,
        split: Split,
        rank: Chunk,
        calibration: Chunk,
        detectors: Mapping[str, Mapping[str, Any]],
    ) -> Scorer:
        """Fits every detector.

        Args:
            split: rows to fit on.
            rank: rows that only the rank maps see.
            calibration: rows that nothing is fitted on.
            detectors: options by name.
        """
        fitted = {
            name: make_detector(name, options).fit(split) for name, options in detectors.items()
        }
        ranks = {}
        for name, detector in fitted.items():
            views = as_views(detector.score(rank))
            ranks[name] = tuple(TailRank.fit(view) for view in views.T)
        empty = np.empty(0, dtype=np.int64)
        label = calibration.label if calibration.label is not None else empty
        scorer = cls(split, fitted, ranks, np.empty((0, len(fitted))), label)
        return cls(split, fitted, ranks, scorer.rank(calibration), label)

    def rank(self, chunk: Chunk) -> Floats:
        """Ranks of a chunk's rows, float64 (n, J): per detector the norm of its weighted views."""
        columns = []
        for name, detector in self.detectors.items():
            views = as_views(detector.score(chunk)).T
            ranked = [map_(view) for map_, view in zip(self.ranks[name], views, strict=True)]
            columns.append(fuse(np.stack(ranked, 1), detector.weights[: len(ranked)]))
        if not columns:
            return np.empty((len(chunk), 0))
        return np.stack(columns, 1)


def as_views(scores: Floats) -> Floats:
    """Scores as (n, views)."""
    return scores[:, None] if scores.ndim == 1 else scores


def fuse(ranks: Floats, weights: Sequence[float]) -> Floats:
    """One score per record: the Euclidean norm of its weighted ranks, float64 (n,).

    Between the largest rank (which lets five mild suspicions by) and their sum (in which many blind
    detectors drown one that sees). Measured on development splits: docs/explanation/detection.md.

    Args:
        ranks: float64 (n, J).
        weights: (J,); 0 leaves a detector (one in shadow) out.
    """
    weighted = ranks * np.asarray(weights, dtype=np.float64)
    norm: Floats = np.sqrt(np.square(weighted).sum(1))
    return norm


def take(chunk: Chunk, rows: Ints | npt.NDArray[np.bool_]) -> Chunk:
    """The chunk's rows at these positions (or where true)."""
    return Chunk(
        embedding=chunk.embedding[rows],
        label=None if chunk.label is None else chunk.label[rows],
        values=None if chunk.values is None else chunk.values[rows],
    )
