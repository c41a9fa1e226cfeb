"""What the detectors over unlabelled neighbours share: checks, and the reach of each row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lazaretto.errors import UsageError

if TYPE_CHECKING:
    from lazaretto.detect.arrays import Floats
    from lazaretto.detect.neighbours import NeighbourIndex


def checked_k(detector: str, k: object) -> int:
    """The option `k` of a detector.

    Raises:
        UsageError: not a whole number from 1.
    """
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise UsageError(f"screen.detectors.{detector}.k: must be a whole number from 1, not {k!r}")
    return k


def reaches(index: NeighbourIndex, k: int) -> Floats:
    """Mean distance of each indexed row to its k nearest others, float32 (n,); positive."""
    distance = index.among_itself(k).distance
    if not distance.shape[1]:
        return np.ones(len(index), dtype=np.float32)
    mean: Floats = distance.mean(1)
    reach: Floats = np.maximum(mean, smallest(mean))
    return reach


def smallest(distances: Floats) -> float:
    """A positive distance that stands for "the same", relative to what is usual."""
    usual = float(np.median(distances))
    return max(1e-4 * usual, 1e-12)


def fitted_index(index: NeighbourIndex | None, detector: str) -> NeighbourIndex:
    """The index, or an error that says the detector is not fitted."""
    if index is None:
        raise UsageError(f"{detector}: fit it before scoring")
    return index
