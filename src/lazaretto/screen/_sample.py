"""A uniform sample of a batch's scored records, drawn while they stream by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.detect.scorer import take

if TYPE_CHECKING:
    import numpy.typing as npt

    from lazaretto.detect.arrays import Floats, Ints
    from lazaretto.detect.base import Chunk

SAMPLE_ROWS = 4000


@dataclass(frozen=True, slots=True)
class Sample:
    """A uniform sample of the scored records, at most `SAMPLE_ROWS`, in the batch's order.

    Attributes:
        embedding: float32 (s, d).
        label: int64 (s,), or None.
        position: int64 (s,), among the judged records.
        key: float64 (s,), random numbers that chose the sample.
    """

    embedding: Floats
    label: Ints | None
    position: Ints
    key: npt.NDArray[np.float64]

    def add(
        self, chunk: Chunk, position: npt.NDArray[np.int64], rng: np.random.Generator
    ) -> Sample:
        """The sample after more records: those with the smallest keys stay."""
        fresh = rng.random(len(chunk))
        if len(self.key) == SAMPLE_ROWS:
            chosen = np.flatnonzero(fresh < self.key.max())
            chunk, fresh = take(chunk, chosen), fresh[chosen]
            position = position[chosen]
        key = np.concatenate([self.key, fresh])
        position = np.concatenate([self.position, position])
        embedding = np.concatenate([self.embedding, chunk.embedding])
        label = self.label
        if label is not None and chunk.label is not None:
            label = np.concatenate([label, chunk.label])
        if len(key) <= SAMPLE_ROWS:
            return Sample(embedding, label, position, key)
        kept = np.sort(np.argpartition(key, SAMPLE_ROWS)[:SAMPLE_ROWS])
        return Sample(
            embedding[kept], None if label is None else label[kept], position[kept], key[kept]
        )
