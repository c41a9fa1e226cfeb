"""The nearest trusted rows of a few vectors, read block by block out of a reference's tensors.

To judge a batch the whole reference is loaded, with every detector. Whoever only wants to see what
a record lies near reads no more of it than vectors, labels and row numbers, in bounded memory.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np

from lazaretto.detect.base import Chunk
from lazaretto.detect.neighbours import NeighbourIndex, Neighbours
from lazaretto.errors import ReferenceMismatchError
from lazaretto.reference._file import EMBEDDING, FORMAT, LABEL, POSITION, fit_rows_of
from lazaretto.reference._packed import Packed

if TYPE_CHECKING:
    import numpy.typing as npt

    from lazaretto.detect.arrays import Floats, Ints


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest trusted rows of each vector, nearest first.

    Attributes:
        distance: float32 (n, k), Euclidean.
        row: int64 (n, k), row of the reference's sample.
        position: int64 (n, k), place of that row among those that the reference was fitted on.
        label: its label, by the same places; None where the reference has no labels.
    """

    distance: Floats
    row: Ints
    position: Ints
    label: list[list[str]] | None


def nearest_trusted(metadata: bytes, tensors: IO[bytes], vectors: Floats, k: int) -> Nearest:
    """The nearest of the trusted rows that detectors compare with.

    Rows that calibrate, and rows that looked strange among the trusted ones, are not compared with
    and so are never among them.

    Args:
        metadata: content of ``reference.json``.
        tensors: ``tensors.safetensors``, open for reading; whoever opens it checks its digest.
        vectors: float32 (n, d), finite; n is at least 1.
        k: how many for each; fewer where there are fewer.

    Raises:
        ReferenceMismatchError: another Lazaretto wrote them, they are no such files, or the
            vectors have another width.
    """
    try:
        known = json.loads(metadata)
        if known["format"] != FORMAT:
            raise ReferenceMismatchError(
                f"the reference has format {known['format']!r}; this Lazaretto reads {FORMAT}: "
                "fit it again"
            )
        packed = Packed.open(tensors)
        position = packed.array(POSITION)
        label = packed.array(LABEL) if LABEL in packed.entries else None
        compared = np.zeros(len(position), dtype=bool)
        for part in range(known["parts"]):
            compared[packed.array(fit_rows_of(part))] = True
        found = _search(packed, compared, vectors, k)
        classes = known["classes"]
        names = None
        if label is not None:
            names = [[classes[number] for number in row] for row in label[found.row].tolist()]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ReferenceMismatchError(f"the reference's files cannot be read: {error!r}") from error
    return Nearest(found.distance, found.row, position[found.row], names)


def _search(packed: Packed, compared: npt.NDArray[np.bool_], vectors: Floats, k: int) -> Neighbours:
    """Searches each block by itself, and keeps the nearest of all."""
    best = Neighbours(
        np.empty((len(vectors), 0), dtype=np.float32), np.empty((len(vectors), 0), dtype=np.int64)
    )
    for start, block in packed.blocks(EMBEDDING):
        rows = start + np.flatnonzero(compared[start : start + len(block)])
        if not len(rows):
            continue
        if block.shape[1] != vectors.shape[1]:
            raise ReferenceMismatchError(
                f"the vectors have {vectors.shape[1]} dimensions, the reference's "
                f"{block.shape[1]}: embed with the same encoder"
            )
        near = NeighbourIndex(block[rows - start]).search(Chunk(vectors), k)
        distance = np.concatenate([best.distance, near.distance], axis=1)
        row = np.concatenate([best.row, rows[near.row]], axis=1)
        order = np.argsort(distance, axis=1, kind="stable")[:, :k]
        best = Neighbours(np.take_along_axis(distance, order, 1), np.take_along_axis(row, order, 1))
    return best
