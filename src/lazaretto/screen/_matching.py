"""A second pass over a batch: for which of its records a question holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.batch._columns import class_indices
from lazaretto.detect.base import Chunk
from lazaretto.detect.neighbours import NeighbourIndex
from lazaretto.embed import load_encoder
from lazaretto.embed.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    import numpy.typing as npt

    from lazaretto.batch import Batch
    from lazaretto.detect.arrays import Floats
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference
    from lazaretto.screen._sample import Sample


class Question(Protocol):
    """Plain values, which are sent to other processes."""

    def holds_for(self, chunk: Chunk) -> npt.NDArray[np.bool_]:
        """Whether it holds, for each record of a chunk, bool (n,)."""


@dataclass(frozen=True, slots=True)
class CloseTo:
    """Does a record lie within a distance of one of some vectors?

    Attributes:
        centers: float32 (s, d).
        radius: Euclidean.
    """

    centers: Floats
    radius: float

    def holds_for(self, chunk: Chunk) -> npt.NDArray[np.bool_]:
        """See `Question`."""
        nearest = NeighbourIndex(self.centers).search(chunk, 1).distance[:, 0]
        return np.asarray(nearest <= self.radius, dtype=bool)


def positions_in(sample: Sample, question: Question) -> npt.NDArray[np.int64]:
    """Positions of the records of a sample for which a question holds, int64 (m,)."""
    return sample.position[question.holds_for(Chunk(sample.embedding, sample.label))]


def positions_where(
    batch: Batch | pa.Table | str | Path,
    reference: Reference,
    policy: Policy,
    question: Question,
    *,
    exclude: Collection[str],
    embeddings: pa.Table | None,
) -> npt.NDArray[np.int64]:
    """Positions of the scorable records for which a question holds, int64 (m,).

    Args:
        batch: read once more.
        reference: gives the width of the vectors, and the classes.
        policy: gives columns and encoder.
        question: what is asked of each record.
        exclude: ids of records that are not judged, and so have no position.
        embeddings: vectors made earlier.
    """
    encoder = load_encoder(policy, reference.encoder_state)
    reader = Reader(policy.columns, encoder, reference.encoder.dimensions, (), embeddings)
    excluded = pa.array(sorted(exclude), pa.string())
    found, judged = [], 0
    for rows in reader.rows(batch):
        keep = np.ones(len(rows), dtype=bool)
        if len(excluded):
            keep = ~pc.is_in(rows.ids, excluded).to_numpy(zero_copy_only=False)
        place = np.cumsum(keep) - 1
        keep[list(rows.vectors.problems)] = False
        label = None if rows.label is None else class_indices(rows.label, reference.classes)
        if label is not None:
            keep &= label >= 0
        if keep.any():
            chunk = Chunk(rows.vectors.values[keep], None if label is None else label[keep])
            found.append(judged + place[keep][question.holds_for(chunk)])
        judged += int(place[-1]) + 1
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)
