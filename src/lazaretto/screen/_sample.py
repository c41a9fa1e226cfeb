"""What is kept of a batch's scored records while they stream by: a sample, and the oddest."""

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

    @classmethod
    def empty(cls, width: int, *, labelled: bool) -> Sample:
        """Of no records."""
        none = np.empty(0, dtype=np.int64)
        vectors = np.empty((0, width), dtype=np.float32)
        return cls(vectors, none if labelled else None, none, np.empty(0))

    def add(
        self,
        chunk: Chunk,
        position: npt.NDArray[np.int64],
        fresh: npt.NDArray[np.float64],
    ) -> Sample:
        """The sample after more records: those with the smallest keys stay.

        Args:
            chunk: the records.
            position: int64 (n,), theirs.
            fresh: float64 (n,), keys of theirs.
        """
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


@dataclass(frozen=True, slots=True)
class Oddest:
    """The records with the smallest p-values, in the batch's order.

    Attributes:
        embedding: float32 (s, d).
        label: int64 (s,), or None.
        position: int64 (s,), among the judged records.
        p_value: float64 (s,).
    """

    embedding: Floats
    label: Ints | None
    position: Ints
    p_value: npt.NDArray[np.float64]

    @classmethod
    def empty(cls, width: int, *, labelled: bool) -> Oddest:
        """Of no records."""
        few = Sample.empty(width, labelled=labelled)
        return cls(few.embedding, few.label, few.position, few.key)

    def add(
        self,
        chunk: Chunk,
        position: npt.NDArray[np.int64],
        p_value: npt.NDArray[np.float64],
        *,
        most: int,
    ) -> Oddest:
        """The oddest after more records.

        Args:
            chunk: the records.
            position: int64 (n,), theirs.
            p_value: float64 (n,), theirs.
            most: so many are kept.
        """
        embedding = np.concatenate([self.embedding, chunk.embedding])
        position = np.concatenate([self.position, position])
        p_value = np.concatenate([self.p_value, p_value])
        label = self.label
        if label is not None and chunk.label is not None:
            label = np.concatenate([label, chunk.label])
        kept = np.sort(np.argsort(p_value, kind="stable")[:most])
        return Oddest(
            embedding[kept], None if label is None else label[kept], position[kept], p_value[kept]
        )
