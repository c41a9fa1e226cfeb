"""Nearest neighbours in the reference: one search per chunk, whatever asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from typing import TYPE_CHECKING, Protocol

import numpy as np

from lazaretto.detect.nearest_backends import BLAS_FROM, Search, make_backend

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
        learned: `learned` of an index over the same vectors and settings.

    Attributes:
        settings: how it searches.
        learned: float32 tensors that an approximate search is made of again, by name.
        center: float32 (d,), mean of the vectors.
        centred: float32 (n, d), the vectors about it.

    Raises:
        ValueError: what was learned is not of these vectors and settings.
    """

    def __init__(
        self,
        vectors: Floats,
        settings: Search | None = None,
        *,
        device: str = "cpu",
        learned: Mapping[str, Floats] | None = None,
    ) -> None:
        # Distances come from norms and products; about the mean those lose the fewest digits.
        self.center = vectors.mean(0, dtype=np.float64).astype(np.float32)
        self.centred = np.ascontiguousarray(vectors - self.center, dtype=np.float32)
        self.settings = settings or Search()
        self._backend = make_backend(self.centred, self.settings, device=device, learned=learned)
        # Kept though a device that searches exactly has no use for them: saving must not lose them.
        self.learned = dict(learned) if learned else self._backend.learned
        self._nearest_of_all: Neighbours | None = None

    def __len__(self) -> int:
        return int(self.centred.shape[0])

    def search(self, chunk: Queries, k: int) -> Neighbours:
        """The nearest k reference rows of each row; all of them where the index has fewer than k.

        Searches once per chunk: detectors that ask for fewer neighbours share the first answer.
        """
        k = min(k, len(self))
        known = chunk.memo.get(self)
        if known is None or known.distance.shape[1] < k:
            known = self._look_up(chunk, k)
            chunk.memo[self] = known
        return known.first(k)

    def among_itself(self, k: int) -> Neighbours:
        """The nearest k *other* rows of each indexed row (copies of it count as others)."""
        k = min(k, len(self) - 1)
        if k < 1:
            empty = np.empty((len(self), 0), dtype=np.float32)
            return Neighbours(empty, empty.astype(np.int64))
        found = self._own(k + 1)
        own = found.row == np.arange(len(self))[:, None]
        # Where copies crowd the row itself out of the answer, the last neighbour goes instead.
        own[~own.any(1), -1] = True
        keep = ~own
        return Neighbours(found.distance[keep].reshape(-1, k), found.row[keep].reshape(-1, k))

    def nearest_of_all(self, k: int) -> Neighbours:
        """The nearest k of each indexed row, itself among them; kept for all who ask."""
        known = self._nearest_of_all
        if known is None or known.row.shape[1] < k:
            known = self._nearest_of_all = self.search_centred(self.centred, k)
        return known.first(k)

    def _own(self, k: int) -> Neighbours:
        """The nearest k of each indexed row, itself among them."""
        return self.search_centred(self.centred, k)

    def _look_up(self, chunk: Queries, k: int) -> Neighbours:
        return self.search_centred(chunk.embedding - self.center, k)

    def search_centred(self, queries: Floats, k: int) -> Neighbours:
        """The nearest k of each vector, float32 (n, d), about `center`; no more than there are."""
        # FAISS takes another way for fewer; a record must get the same distances alone.
        missing = BLAS_FROM - len(queries)
        asked = queries
        if missing > 0:
            asked = np.concatenate([queries, np.repeat(queries[:1], missing, axis=0)])
        squared, row = self._backend.search(np.ascontiguousarray(asked, dtype=np.float32), k)
        squared, row = squared[: len(queries)], row[: len(queries)]
        return Neighbours(np.sqrt(np.maximum(squared, 0)), row)


class NeighbourSubset(NeighbourIndex):
    """An index over some rows of another index, which searches for all its subsets at once.

    The scorers of a cross-fitted reference look among rows that overlap. Each finds its nearest
    among the nearest of all rows; where too few of those are its own, more of them are looked at.

    Args:
        whole: an exact index.
        rows: int64 (n,), distinct rows of it, n at least 1.
    """

    def __init__(self, whole: NeighbourIndex, rows: Ints) -> None:
        self.whole = whole
        self.rows = rows
        self.settings = whole.settings
        self.learned = {}
        self._place = np.full(len(whole), -1, dtype=np.int64)
        self._place[rows] = np.arange(len(rows))

    def __len__(self) -> int:
        return len(self.rows)

    def _look_up(self, chunk: Queries, k: int) -> Neighbours:
        near = self.whole.search(chunk, self._to_ask(k))
        return self._nearest_own(near, k, lambda rows: chunk.embedding[rows] - self.whole.center)

    def _own(self, k: int) -> Neighbours:
        near = self.whole.nearest_of_all(self._to_ask(k))
        near = Neighbours(near.distance[self.rows], near.row[self.rows])
        return self._nearest_own(near, k, lambda rows: self.whole.centred[self.rows[rows]])

    def _to_ask(self, k: int) -> int:
        """Among so many rows of the whole index, k belong here almost always."""
        share = len(self) / len(self.whole)
        return min(len(self.whole), ceil((k + 3 * sqrt(k * (1 - share)) + 1) / share))

    def _nearest_own(
        self, near: Neighbours, k: int, queries: Callable[[Ints], Floats]
    ) -> Neighbours:
        """The first k that belong here, of each row.

        Args:
            near: the nearest of the whole index.
            k: how many.
            queries: vectors of some rows, about the whole index's centre: where `near` holds too
                few for them, the search goes on.
        """
        distance = np.empty((len(near.row), k), dtype=np.float32)
        row = np.empty((len(near.row), k), dtype=np.int64)
        left = np.arange(len(near.row))
        while True:
            place = self._place[near.row]
            own = place >= 0
            order = own.cumsum(1)
            enough = order[:, -1] >= k
            own &= (order <= k) & enough[:, None]
            distance[left[enough]] = near.distance[own].reshape(-1, k)
            row[left[enough]] = place[own].reshape(-1, k)
            left = left[~enough]
            if not len(left):
                return Neighbours(distance, row)
            near = self.whole.search_centred(
                queries(left), min(4 * near.row.shape[1], len(self.whole))
            )
