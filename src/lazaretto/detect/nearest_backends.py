"""What searches for nearest rows: FAISS whole, FAISS by inverted lists, or a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import faiss

if TYPE_CHECKING:
    from lazaretto.detect.arrays import Floats, Ints


@dataclass(frozen=True, slots=True)
class Search:
    """How nearest rows are searched for; frozen into a reference when it is fitted.

    Attributes:
        exact_up_to: rows up to which every row is compared. Above, the rows are put into lists by
            their nearest centroid, and only the lists nearest to a record are looked through.
        lists: number of lists; None: four times the root of the number of rows.
        probes: lists looked through; None: one in 32, at least 8.
    """

    exact_up_to: int = 1_000_000
    lists: int | None = None
    probes: int | None = None

    def sizes(self, rows: int) -> tuple[int, int]:
        """Lists and probes for so many rows; no more than there can be."""
        lists = min(rows, self.lists or max(1, int(4 * rows**0.5)))
        return lists, min(lists, self.probes or max(8, lists // 32))


class Backend(Protocol):
    """Searches rows it was given.

    Attributes:
        centroids: float32 (lists, d) of an approximate search; None where it is exact.
    """

    centroids: Floats | None

    def search(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        """Squared distances float32 (n, k), nearest first, and rows int64 (n, k).

        Args:
            queries: float32 (n, d), contiguous, on the CPU.
            k: at most the number of rows.
        """
        ...


def make_backend(
    rows: Floats, search: Search, *, device: str = "cpu", centroids: Floats | None = None
) -> Backend:
    """Chooses by size and device.

    On another device than the CPU the search is exact at any size: there it is one product and one
    selection, and FAISS for CPUs does not run there.

    Args:
        rows: float32 (n, d), contiguous.
        search: settings.
        device: torch device, such as ``cuda``.
        centroids: of an earlier fit on the same rows, so that none are learned anew.
    """
    if device.partition(":")[0] != "cpu":
        from lazaretto.detect.nearest_device import DeviceSearch

        return DeviceSearch(rows, device)
    if len(rows) <= search.exact_up_to:
        return FlatSearch(rows)
    return ListSearch(rows, search, centroids)


class FlatSearch:
    """Every row, by FAISS."""

    centroids: Floats | None = None

    def __init__(self, rows: Floats) -> None:
        self._index: Any = faiss.IndexFlatL2(rows.shape[1])
        self._index.add(rows)

    def search(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        """See `Backend`."""
        squared, row = self._index.search(queries, k)
        return squared, row


class ListSearch:
    """Inverted lists, by FAISS: approximate (Sivic and Zisserman, 2003; Jegou et al., 2011)."""

    def __init__(self, rows: Floats, search: Search, centroids: Floats | None) -> None:
        lists, probes = search.sizes(len(rows))
        if centroids is None:
            centroids = _centroids(rows, lists)
        self.centroids: Floats | None = centroids
        self._quantizer: Any = faiss.IndexFlatL2(rows.shape[1])
        self._quantizer.add(centroids)
        self._index: Any = faiss.IndexIVFFlat(self._quantizer, rows.shape[1], len(centroids))
        self._index.train(centroids)
        self._index.add(rows)
        self._index.nprobe = probes

    def search(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        """See `Backend`. A record whose lists hold fewer than k rows gets all lists."""
        squared, row = self._index.search(queries, k)
        short = (row < 0).any(1)
        if short.any():
            parameters: Any = faiss.SearchParametersIVF
            everywhere = parameters(nprobe=self._index.nlist)
            again = queries[short]
            squared[short], row[short] = self._index.search(again, k, params=everywhere)
        return squared, row


def _centroids(rows: Floats, lists: int) -> Floats:
    """Means of k-means on a sample, float32 (lists, d); the same rows give the same."""
    means: Any = faiss.Kmeans(
        rows.shape[1],
        lists,
        niter=10,
        seed=1,
        min_points_per_centroid=1,
        max_points_per_centroid=64,
    )
    means.train(rows)
    centroids: Floats = means.centroids
    return centroids
