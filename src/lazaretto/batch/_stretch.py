"""Stretches of a batch: chunks of its canonical copy behind each other, for separate work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some chunks of a batch's canonical copy that lie behind each other.

    Attributes:
        number: of the stretch, from 0.
        first: number of its first chunk.
        chunks: how many chunks it has.
        offset: position of its first record in the batch.
        rows: records in it.
    """

    number: int
    first: int
    chunks: int
    offset: int
    rows: int

    @property
    def numbers(self) -> range:
        """Numbers of its chunks."""
        return range(self.first, self.first + self.chunks)


def stretches_of(extents: Sequence[int], rows: int) -> list[Stretch]:
    """Cuts a batch into stretches; the last one may be smaller.

    Args:
        extents: records of each chunk, as `Batch.extents` tells them.
        rows: a stretch is closed as soon as it has so many records.

    Returns:
        Stretches that have every record once, in order.

    Examples:
        >>> from lazaretto.batch import stretches_of
        >>> [(one.offset, one.rows) for one in stretches_of([10, 10, 5], 15)]
        [(0, 20), (20, 5)]
    """
    stretches: list[Stretch] = []
    first = offset = held = 0
    for number, extent in enumerate(extents):
        held += extent
        if held >= rows or number == len(extents) - 1:
            stretches.append(Stretch(len(stretches), first, number + 1 - first, offset, held))
            first, offset, held = number + 1, offset + held, 0
    return stretches
