"""One fitted portfolio: detectors, their reference ranks, and ranks of rows they have not seen."""

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
class Side:
    """What a scorer says of one set of trusted rows that it was not fitted on.

    Attributes:
        fold: number of the set.
        ranks: by detector, one map per view, fitted on rows that are neither FIT nor this set.
        calibration: float64 (n, J), ranks of the set's rows, one column per detector.
    """

    fold: int
    ranks: Mapping[str, tuple[TailRank, ...]]
    calibration: Floats


@dataclass(frozen=True, slots=True)
class Scorer:
    """Detectors fitted on FIT, and what they say of trusted rows that they have not seen.

    Attributes:
        split: the FIT rows.
        detectors: by name, fitted.
        sides: one, or two where trusted rows are cross-fitted: each left-out fold is ranked by maps
            that were fitted on the other.
    """

    split: Split
    detectors: Mapping[str, Detector]
    sides: tuple[Side, ...]

    @classmethod
    def fit(
        cls,
        split: Split,
        left_out: Sequence[tuple[int, Chunk, Chunk]],
        detectors: Mapping[str, Mapping[str, Any]],
    ) -> Scorer:
        """Fits every detector.

        Args:
            split: rows to fit on.
            left_out: for each side its fold, the rows that only its rank maps see, and the rows
                that nothing is fitted on.
            detectors: options by name.
        """
        fitted = {
            name: make_detector(name, options).fit(split) for name, options in detectors.items()
        }
        sides: list[Side] = []
        for fold, rank, calibration in left_out:
            ranks = {
                name: tuple(TailRank.fit(view) for view in as_views(detector.score(rank)).T)
                for name, detector in fitted.items()
            }
            side = Side(fold, ranks, np.empty((0, len(fitted))))
            known = cls(split, fitted, (side,)).rank(calibration)
            sides.append(Side(fold, ranks, known))
        return cls(split, fitted, tuple(sides))

    def rank(self, chunk: Chunk, side: int = 0) -> Floats:
        """Ranks of a chunk's rows, float64 (n, J): per detector the norm of its weighted views.

        Args:
            chunk: the rows.
            side: place of the side whose maps are used.
        """
        columns = []
        for name, detector in self.detectors.items():
            views = as_views(detector.score(chunk)).T
            maps = self.sides[side].ranks[name]
            ranked = [map_(view) for map_, view in zip(maps, views, strict=True)]
            columns.append(fuse(np.stack(ranked, 1), detector.weights[: len(ranked)]))
        return np.stack(columns, 1) if columns else np.empty((len(chunk), 0))


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
