"""One fitted portfolio: detectors, their reference ranks, and the calibration rows' ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from lazaretto.detect.base import Chunk
from lazaretto.detect.registry import make_detector
from lazaretto.detect.tail import TailRank

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from torch import Tensor

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
    calibration: Tensor
    calibration_label: Tensor

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
            ranks[name] = tuple(TailRank.fit(view) for view in views.unbind(1))
        empty = torch.empty(0, dtype=torch.int64)
        label = calibration.label if calibration.label is not None else empty
        scorer = cls(split, fitted, ranks, torch.empty(0, len(fitted)), label)
        return cls(split, fitted, ranks, scorer.rank(calibration), label)

    def rank(self, chunk: Chunk) -> Tensor:
        """Ranks of a chunk's rows, float64 (n, J): per detector the norm of its weighted views."""
        columns = []
        for name, detector in self.detectors.items():
            views = as_views(detector.score(chunk)).unbind(1)
            ranked = [map_(view) for map_, view in zip(self.ranks[name], views, strict=True)]
            columns.append(fuse(torch.stack(ranked, 1), detector.weights[: len(ranked)]))
        if not columns:
            return torch.empty(len(chunk), 0, dtype=torch.float64)
        return torch.stack(columns, 1)


def as_views(scores: Tensor) -> Tensor:
    """Scores as (n, views)."""
    return scores.unsqueeze(1) if scores.ndim == 1 else scores


def fuse(ranks: Tensor, weights: Sequence[float]) -> Tensor:
    """One score per record: the Euclidean norm of its weighted ranks, float64 (n,).

    Between the largest rank (which lets five mild suspicions by) and their sum (in which many blind
    detectors drown one that sees). Measured on development splits: docs/explanation/detection.md.

    Args:
        ranks: float64 (n, J).
        weights: (J,); 0 leaves a detector (one in shadow) out.
    """
    weighted = ranks * torch.tensor(list(weights)).double()
    norm: Tensor = torch.linalg.vector_norm(weighted, dim=1)
    return norm


def take(chunk: Chunk, rows: Tensor) -> Chunk:
    """The chunk's rows at these positions (or where true)."""
    return Chunk(
        embedding=chunk.embedding[rows],
        label=None if chunk.label is None else chunk.label[rows],
        values=None if chunk.values is None else chunk.values[rows],
    )
