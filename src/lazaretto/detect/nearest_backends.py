"""What searches for nearest rows: FAISS whole, compressed or by inverted lists, or a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import faiss
import numpy as np

from lazaretto.detect.nearest_compressed import Compressed, CompressedSearch, learn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lazaretto.detect.arrays import Floats, Ints

BLAS_FROM = 20
"""Records from which FAISS compares by products; callers fill up fewer.

FAISS from 1.15 on would take another, slower way for fewer than 128,000 numbers: ten times slower
for 333 records of 384, and with other digits than the same records get in a larger batch."""
faiss.cvar.distance_compute_blas_threshold = BLAS_FROM


@dataclass(frozen=True, slots=True)
class Search:
    """How nearest rows are searched for; frozen into a reference when it is fitted.

    Attributes:
        exact_up_to: rows up to which every row is compared. Above, the rows are put into lists by
            their nearest centroid, and only the lists nearest to a record are looked through.
        lists: number of lists; None: four times the root of the number of rows.
        probes: lists looked through; None: one in 32, at least 8.
        compressed: of a compressed search, which then stands in for both; None: there is none.
        loss: of AUROC, of the compressed search, or the least of those that were tried and not
            taken; None where none was tried. See `lazaretto.detect.nearest_choice`.
    """

    exact_up_to: int = 1_000_000
    lists: int | None = None
    probes: int | None = None
    compressed: Compressed | None = None
    loss: float | None = None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Search:
        """From what `dataclasses.asdict` gave.

        Raises:
            TypeError: a key is unknown.
            ValueError: a number is out of range.
        """
        compressed = document.get("compressed")
        if compressed is None:
            return cls(**document)
        return cls(**{**document, "compressed": Compressed(**compressed)})

    def sizes(self, rows: int) -> tuple[int, int]:
        """Lists and probes for so many rows; no more than there can be."""
        lists = min(rows, self.lists or max(1, int(4 * rows**0.5)))
        return lists, min(lists, self.probes or max(8, lists // 32))

    def words(self, rows: int, width: int) -> str:
        """How so many rows of so many dimensions are searched, and what it loses: for people."""
        lost = "" if self.loss is None else f"{max(self.loss, 0.0):.4f} of AUROC"
        if (small := self.compressed) is not None:
            return (
                f"compressed: {small.probes} of {small.lists} lists, {small.dimensions} dimensions "
                f"of {width}, then true distances; loses {lost}"
            )
        if rows > self.exact_up_to:
            lists, probes = self.sizes(rows)
            how = f"{probes} of {lists} lists"
        else:
            how = "exact: every row"
        return f"{how} (a compressed search would lose {lost})" if lost else how


class Backend(Protocol):
    """Searches rows it was given.

    Attributes:
        learned: float32 tensors of an approximate search, by name; empty where it is exact.
    """

    learned: dict[str, Floats]

    def search(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        """Squared distances float32 (n, k), nearest first, and rows int64 (n, k).

        Args:
            queries: float32 (n, d), contiguous, on the CPU.
            k: at most the number of rows.
        """
        ...


def make_backend(
    rows: Floats,
    search: Search,
    *,
    device: str = "cpu",
    learned: Mapping[str, Floats] | None = None,
) -> Backend:
    """Chooses by settings, size and device.

    A compressed search runs on the CPU whatever the device: records must be searched for as the
    rows were that calibrate. Any other is exact on a device at any size: there it is one product
    and one selection, and FAISS for CPUs does not run there.

    Args:
        rows: float32 (n, d), contiguous, about their mean.
        search: settings.
        device: torch device, such as ``cuda``.
        learned: of an earlier fit on the same rows, so that nothing is learned anew.

    Raises:
        ValueError: what was learned is not of these rows and settings.
    """
    if search.compressed is not None:
        known = learned or learn(rows, search.compressed)
        return CompressedSearch(rows, search.compressed, known)
    if device.partition(":")[0] != "cpu":
        from lazaretto.detect.nearest_device import DeviceSearch

        return DeviceSearch(rows, device)
    if len(rows) <= search.exact_up_to:
        return FlatSearch(rows)
    return ListSearch(rows, search, (learned or {}).get("centroids"))


class FlatSearch:
    """Every row, by FAISS."""

    def __init__(self, rows: Floats) -> None:
        self.learned: dict[str, Floats] = {}
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
        _check(centroids, rows)
        self.learned: dict[str, Floats] = {"centroids": centroids}
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


def _check(centroids: Floats, rows: Floats) -> None:
    if centroids.ndim != 2 or centroids.shape[1] != rows.shape[1] or not len(centroids):
        raise ValueError(f"centroids of shape {centroids.shape} for rows of {rows.shape[1]}")
    if centroids.dtype != np.float32 or not np.isfinite(centroids).all():
        raise ValueError("centroids that are not finite float32 numbers")


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
