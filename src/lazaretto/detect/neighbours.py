"""Nearest neighbours in the reference: one search per chunk, whatever asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from lazaretto.detect.nearest_backends import Search, make_backend

if TYPE_CHECKING:
    from lazaretto.detect.arrays import Floats, Ints


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest reference rows of each row of a chunk, nearest first.

    Attributes:
        distance: float32 (n, k), Euclidean.
        row: int64 (n, k), row of the index.
    """

    distance: Floats
    row: Ints

    def first(self, k: int) -> Neighbours:
        """The nearest k of them."""
        return Neighbours(self.distance[:, :k], self.row[:, :k])


class Queries(Protocol):
    """What is searched for; `lazaretto.detect.base.Chunk` is one."""

    @property
    def embedding(self) -> Floats:
        """Vectors, float32 (n, d)."""

    @property
    def memo(self) -> dict[NeighbourIndex, Neighbours]:
        """Neighbours found so far, by index."""


class NeighbourIndex:
    """Euclidean nearest-neighbour index over reference rows.

    Args:
        vectors: float32 (n, d), finite, n at least 1.
        settings: how to search: exact up to a size by default.
        device: torch device to search on.
        centroids: `centroids` of an index over the same vectors and settings.
    """

    def __init__(
        self,
        vectors: Floats,
        settings: Search | None = None,
        *,
        device: str = "cpu",
        centroids: Floats | None = None,
    ) -> None:
        # Distances come from norms and products; about the mean those lose the fewest digits.
        self._center = vectors.mean(0, dtype=np.float64).astype(np.float32)
        self.vectors = np.ascontiguousarray(vectors - self._center, dtype=np.float32)
        self.settings = settings or Search()
        self._backend = make_backend(
            self.vectors, self.settings, device=device, centroids=centroids
        )
        # Kept though a device that searches exactly has no use for them: saving must not lose them.
        self.centroids = centroids if centroids is not None else self._backend.centroids

    def __len__(self) -> int:
        return int(self.vectors.shape[0])

    def search(self, chunk: Queries, k: int) -> Neighbours:
        """The nearest k reference rows of each row; all of them where the index has fewer than k.

        Searches once per chunk: detectors that ask for fewer neighbours share the first answer.
        """
        k = min(k, len(self))
        known = chunk.memo.get(self)
        if known is None or known.distance.shape[1] < k:
            known = self._search(chunk.embedding - self._center, k)
            chunk.memo[self] = known
        return known.first(k)

    def among_itself(self, k: int) -> Neighbours:
        """The nearest k *other* rows of each indexed row (copies of it count as others)."""
        k = min(k, len(self) - 1)
        if k < 1:
            empty = np.empty((len(self), 0), dtype=np.float32)
            return Neighbours(empty, empty.astype(np.int64))
        found = self._search(self.vectors, k + 1)
        own = found.row == np.arange(len(self))[:, None]
        # Where copies crowd the row itself out of the answer, the last neighbour goes instead.
        own[~own.any(1), -1] = True
        keep = ~own
        return Neighbours(found.distance[keep].reshape(-1, k), found.row[keep].reshape(-1, k))

    def _search(self, queries: Floats, k: int) -> Neighbours:
        # FAISS takes another way below 20 queries; a record must get the same distances alone.
        alone = len(queries) < 20
        asked = queries
        if alone:
            asked = np.concatenate([queries, np.repeat(queries[:1], 20 - len(queries), axis=0)])
        squared, row = self._backend.search(np.ascontiguousarray(asked, dtype=np.float32), k)
        squared, row = squared[: len(queries)], row[: len(queries)]
        return Neighbours(np.sqrt(np.maximum(squared, 0)), row)
