"""What searches for nearest rows: FAISS whole, FAISS by inverted lists, or torch on a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import faiss
import torch

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 2**25
"""Distances that the torch search holds at once: 128 MiB."""


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

    centroids: Tensor | None

    def search(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Squared distances float32 (n, k), nearest first, and rows int64 (n, k).

        Args:
            queries: float32 (n, d), contiguous, on the CPU.
            k: at most the number of rows.
        """
        ...


def make_backend(
    rows: Tensor, search: Search, *, device: str = "cpu", centroids: Tensor | None = None
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
    if torch.device(device).type != "cpu":
        return TorchSearch(rows, device)
    if len(rows) <= search.exact_up_to:
        return FlatSearch(rows)
    return ListSearch(rows, search, centroids)


class FlatSearch:
    """Every row, by FAISS."""

    centroids: Tensor | None = None

    def __init__(self, rows: Tensor) -> None:
        self._index: Any = faiss.IndexFlatL2(rows.shape[1])
        self._index.add(rows.numpy())

    def search(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """See `Backend`."""
        squared, row = self._index.search(queries.numpy(), k)
        return torch.from_numpy(squared), torch.from_numpy(row)


class ListSearch:
    """Inverted lists, by FAISS: approximate (Sivic and Zisserman, 2003; Jegou et al., 2011)."""

    def __init__(self, rows: Tensor, search: Search, centroids: Tensor | None) -> None:
        lists, probes = search.sizes(len(rows))
        if centroids is None:
            centroids = _centroids(rows, lists)
        self.centroids: Tensor | None = centroids
        self._quantizer: Any = faiss.IndexFlatL2(rows.shape[1])
        self._quantizer.add(centroids.numpy())
        self._index: Any = faiss.IndexIVFFlat(self._quantizer, rows.shape[1], len(centroids))
        self._index.train(centroids.numpy())
        self._index.add(rows.numpy())
        self._index.nprobe = probes

    def search(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """See `Backend`. A record whose lists hold fewer than k rows gets all lists."""
        squared, row = self._index.search(queries.numpy(), k)
        short = (row < 0).any(1)
        if short.any():
            parameters: Any = faiss.SearchParametersIVF
            everywhere = parameters(nprobe=self._index.nlist)
            again = queries[torch.from_numpy(short)].contiguous().numpy()
            squared[short], row[short] = self._index.search(again, k, params=everywhere)
        return torch.from_numpy(squared), torch.from_numpy(row)


class TorchSearch:
    """Every row, by products and selections in torch, on any device it knows.

    The same code runs on the CPU, where it is tested; FAISS is faster there. It has not been run on
    a CUDA device yet: a test for one waits, and is skipped where there is none.
    """

    centroids: Tensor | None = None

    def __init__(self, rows: Tensor, device: str) -> None:
        self._rows = rows.to(device)
        self._norms = self._rows.square().sum(1)

    def search(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """See `Backend`."""
        squared, rows = [], []
        for part in torch.split(queries, max(1, BLOCK // len(self._rows))):
            there = part.to(self._rows.device)
            # The record's own norm moves no neighbour before another: it is added last.
            partial = torch.addmm(self._norms, there, self._rows.T, alpha=-2)
            value, row = partial.topk(k, largest=False)
            squared.append((value + there.square().sum(1, keepdim=True)).cpu())
            rows.append(row.cpu())
        if not squared:
            return torch.empty(0, k), torch.empty(0, k, dtype=torch.int64)
        return torch.cat(squared), torch.cat(rows)


def _centroids(rows: Tensor, lists: int) -> Tensor:
    """Means of k-means on a sample, float32 (lists, d); the same rows give the same."""
    means: Any = faiss.Kmeans(
        rows.shape[1],
        lists,
        niter=10,
        seed=1,
        min_points_per_centroid=1,
        max_points_per_centroid=64,
    )
    means.train(rows.numpy())
    return torch.from_numpy(means.centroids)
