"""The split of trusted rows that one scorer is fitted on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.detect.base import Chunk, Split
from lazaretto.detect.neighbours import NeighbourIndex
from lazaretto.detect.scorer import take

if TYPE_CHECKING:
    from lazaretto.detect.arrays import Floats, Ints
    from lazaretto.detect.nearest_backends import Search


def fit_split(
    sample: Chunk,
    rows: Ints,
    classes: tuple[str, ...],
    columns: tuple[str, ...],
    seed: int,
    settings: Search,
    *,
    device: str = "cpu",
    centroids: Floats | None = None,
) -> Split:
    """The FIT split made of these rows of the sample; the last three are its index's."""
    chunk = take(sample, rows)
    index = NeighbourIndex(chunk.embedding, settings, device=device, centroids=centroids)
    return Split(chunk, classes, columns, index, seed)
