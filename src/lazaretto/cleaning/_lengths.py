"""Lengths of texts, counted by size class, and judged against those that a source sent before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa
    from numpy.typing import NDArray

CLASSES = 256
_PER_OCTAVE = 8


def size_classes(texts: pa.Array) -> NDArray[np.int16]:
    """Size class of each text by its characters, eight to a doubling; -1 where there is none.

    Args:
        texts: string, with nulls.

    Examples:
        >>> import pyarrow as pa
        >>> size_classes(pa.array(["", "a", None, "ab" * 500])).tolist()
        [0, 8, -1, 79]
    """
    lengths = pc.fill_null(pc.utf8_length(texts), -1).to_numpy(zero_copy_only=False)
    classes = np.floor(np.log2(np.maximum(lengths, 0) + 1.0) * _PER_OCTAVE).astype(np.int16)
    classes[lengths < 0] = -1
    result: NDArray[np.int16] = classes
    return result


def counted(classes: NDArray[np.int16]) -> NDArray[np.int64]:
    """How many texts have each size class."""
    counts: NDArray[np.int64] = np.bincount(classes[classes >= 0], minlength=CLASSES)
    return counts


def needed(level: float) -> int:
    """Earlier texts without which no length can be extreme at a level.

    Examples:
        >>> needed(0.001)
        1999
    """
    return int(np.ceil(2 / level)) - 1


def extreme(
    classes: NDArray[np.int16], before: Iterable[NDArray[np.int64]], level: float
) -> tuple[NDArray[np.bool_], int]:
    """Texts whose size class is one of the rarest extremes among earlier texts.

    A conformal test on both ends: as long as a text is one like those before it, it is found with a
    chance of at most `level`, whatever the lengths are like. Size classes are counted whole, which
    makes it less.

    Args:
        classes: of the texts.
        before: counts of earlier ones.
        level: the chance.

    Returns:
        Which are found, and how many earlier texts there are; fewer than `needed` find none.
    """
    total = np.sum([np.zeros(CLASSES, np.int64), *before], axis=0)
    known = int(total.sum())
    at_most = np.cumsum(total)
    at_least = known - at_most + total
    p = (1 + np.minimum(at_most, at_least)) / (known + 1)
    found = (classes >= 0) & (p[np.maximum(classes, 0)] <= level / 2)
    return found, known
