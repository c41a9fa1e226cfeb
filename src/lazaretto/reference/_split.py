"""The split of trusted rows that one scorer is fitted on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.detect.base import Chunk, Split
from lazaretto.detect.neighbours import NeighbourIndex, NeighbourSubset
from lazaretto.detect.scorer import take

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lazaretto.detect.arrays import Floats, Ints
    from lazaretto.detect.nearest_backends import Search


def shared_index(
    sample: Chunk, parts: int, settings: Search, *, device: str = "cpu"
) -> NeighbourIndex | None:
    """The index over all rows of the sample, where several scorers look through most of them.

    It is exact, so that what a scorer finds depends on no row but its own: None where it cannot be.
    """
    if parts < 2 or len(sample) > settings.exact_up_to:
        return None
    return NeighbourIndex(sample.embedding, settings, device=device)


def fit_split(
    sample: Chunk,
    rows: Ints,
    classes: tuple[str, ...],
    columns: tuple[str, ...],
    seed: int,
    settings: Search,
    *,
    whole: NeighbourIndex | None = None,
    device: str = "cpu",
    learned: Mapping[str, Floats] | None = None,
) -> Split:
    """The FIT split made of these rows of the sample.

    Args:
        sample: trusted rows.
        rows: which of them.
        classes: class names.
        columns: names of the raw numeric columns.
        seed: of every random choice while fitting.
        settings: of its index, as are the rest.
        whole: `shared_index` of the sample.
        device: where neighbours are searched.
        learned: of an index over the same rows and settings.
    """
    chunk = take(sample, rows)
    index = (
        NeighbourIndex(chunk.embedding, settings, device=device, learned=learned)
        if whole is None
        else NeighbourSubset(whole, rows)
    )
    return Split(chunk, classes, columns, index, seed)
