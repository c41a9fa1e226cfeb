"""A compressed search for nearest rows: fewer dimensions, short codes, then true distances.

A record is compared with short codes of the rows that lie in the lists nearest to it, and the true
distances of the best candidates decide. Conformal calibration stays exact for every score that
calibration rows and batch share, so what the search misses costs power and no validity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np

from lazaretto.detect.arrays import squared_distances

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lazaretto.detect.arrays import Floats, Ints

BLOCK = 512
"""Records are searched for so many at a time, the last block filled up: products of one shape round
alike, so a record gets alone what it gets in a batch."""
LIST_ROWS = 128
"""Rows in a list, at least, on average; codes are compared 32 at a time."""
LEAST_ASKED = 20
"""Neighbours looked for at least: who asks for fewer gets the first of the same."""
_CODE_VALUES = 16
_TRAINED_ON, _PART = 100_000, 4096


@dataclass(frozen=True, slots=True)
class Compressed:
    """How much a compressed search looks at; frozen into a reference.

    Attributes:
        dimensions: that are left, even.
        lists: that the rows are put into.
        probes: lists looked through for a record.
        candidates: rows whose true distance is computed, for each neighbour asked for.
    """

    dimensions: int
    lists: int
    probes: int
    candidates: float

    def __post_init__(self) -> None:
        whole = (self.dimensions, self.lists, self.probes)
        if not all(isinstance(number, int) and number >= 1 for number in whole):
            raise ValueError("a compressed search has whole numbers from 1")
        if self.dimensions % 2 or self.probes > self.lists or not 1 <= self.candidates <= 1000:
            raise ValueError("a compressed search has numbers out of range")


def learn(rows: Floats, settings: Compressed, seed: int = 1) -> dict[str, Floats]:
    """What a compressed search learns of its rows; the same rows and threads give the same.

    * ``rotation`` (dimensions, d): the principal directions. Where rows have fewer columns than
      that, the last one is zero.
    * ``centroids`` (lists, dimensions): k-means of the rows in them (Sivic and Zisserman, 2003).
    * ``codebook`` (dimensions / 2, 16, 2): product quantisation of two dimensions to 4 bits each
      (Jegou et al., 2011; compared in registers: Andre et al., 2015).

    Args:
        rows: float32 (n, d), about their mean.
        settings: what is to be learned.
        seed: of k-means.
    """
    sample = rows[:: -(-len(rows) // _TRAINED_ON)]
    products = np.zeros((rows.shape[1], rows.shape[1]))
    for start in range(0, len(sample), _PART):
        part = sample[start : start + _PART].astype(np.float64)
        products += part.T @ part
    _, vectors = np.linalg.eigh(products)
    rotation = np.zeros((settings.dimensions, rows.shape[1]), dtype=np.float32)
    kept = vectors[:, ::-1][:, : settings.dimensions].T
    rotation[: len(kept)] = kept
    means: Any = faiss.Kmeans(
        settings.dimensions,
        settings.lists,
        niter=10,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=64,
    )
    reduced = _reduced(rows, rotation)
    means.train(reduced)
    codes: Any = faiss.ProductQuantizer(settings.dimensions, settings.dimensions // 2, 4)
    codes.cp.min_points_per_centroid = 1
    codes.train(reduced)
    book: Floats = faiss.vector_to_array(codes.centroids)
    return {
        "rotation": rotation,
        "centroids": np.asarray(means.centroids, dtype=np.float32),
        "codebook": book.reshape(settings.dimensions // 2, _CODE_VALUES, 2),
    }


class CompressedSearch:
    """See the file's first lines; by FAISS, from tensors that `learn` gave.

    Args:
        rows: float32 (n, d), contiguous, about their mean.
        settings: what the tensors were learned with.
        learned: the tensors.

    Raises:
        ValueError: the tensors are not of these rows and settings.
    """

    def __init__(self, rows: Floats, settings: Compressed, learned: Mapping[str, Floats]) -> None:
        _check(rows, settings, learned)
        self.learned = {key: np.ascontiguousarray(value) for key, value in learned.items()}
        self._rows, size = rows, settings.dimensions
        self._quantizer: Any = faiss.IndexFlatL2(size)
        self._quantizer.add(self.learned["centroids"])
        coded: Any = faiss.IndexIVFPQFastScan(self._quantizer, size, settings.lists, size // 2, 4)
        # Codes of the rows themselves: a record then needs one table for all lists.
        coded.by_residual = False
        faiss.copy_array_to_vector(self.learned["codebook"].ravel(), coded.pq.centroids)
        coded.is_trained = True
        coded.nprobe = settings.probes
        # One record at a time, whatever comes with it.
        coded.implem = 10
        coded.add(_reduced(rows, self.learned["rotation"]))
        self._turn: Any = faiss.LinearTransform(rows.shape[1], size, False)
        faiss.copy_array_to_vector(self.learned["rotation"].ravel(), self._turn.A)
        self._turn.is_trained = True
        self._coded, self._turned = coded, faiss.IndexPreTransform(self._turn, coded)
        self._true: Any = faiss.IndexFlatL2(rows.shape[1])
        self._true.add(rows)
        self._index: Any = faiss.IndexRefine(self._turned, self._true)
        self._index.k_factor = settings.candidates

    def search(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        """See `lazaretto.detect.nearest_backends.Backend`.

        A record whose lists hold fewer than k rows is compared with all rows.
        """
        squared = np.empty((len(queries), k), dtype=np.float32)
        row = np.empty((len(queries), k), dtype=np.int64)
        ask = min(max(k, LEAST_ASKED), len(self._rows))
        for start in range(0, len(queries), BLOCK):
            block = queries[start : start + BLOCK]
            missing = BLOCK - len(block)
            asked = np.concatenate([block, np.repeat(block[:1], missing, 0)]) if missing else block
            near, place = self._index.search(asked, ask)
            squared[start : start + len(block)] = near[: len(block), :k]
            row[start : start + len(block)] = place[: len(block), :k]
        short = np.flatnonzero((row < 0).any(1))
        if len(short):
            squared[short], row[short] = self._among_all(queries[short], k)
        return squared, row

    def _among_all(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        squared = np.empty((len(queries), k), dtype=np.float32)
        row = np.empty((len(queries), k), dtype=np.int64)
        for number, query in enumerate(queries):
            distance = squared_distances(query[None], self._rows)[0]
            row[number] = np.argsort(distance, kind="stable")[:k]
            squared[number] = distance[row[number]]
        return squared, row


def _reduced(rows: Floats, rotation: Floats) -> Floats:
    reduced: Floats = np.empty((len(rows), len(rotation)), dtype=np.float32)
    np.matmul(rows, rotation.T, out=reduced)
    return reduced


def _check(rows: Floats, settings: Compressed, learned: Mapping[str, Floats]) -> None:
    size = settings.dimensions
    wanted = {
        "rotation": (size, rows.shape[1]),
        "centroids": (settings.lists, size),
        "codebook": (size // 2, _CODE_VALUES, 2),
    }
    for name, shape in wanted.items():
        tensor = learned.get(name)
        if tensor is None:
            raise ValueError(f"the compressed search has no tensor {name!r}")
        if tensor.dtype != np.float32 or tensor.shape != shape:
            raise ValueError(
                f"tensor {name!r} of the compressed search is {tensor.dtype} of shape "
                f"{tensor.shape}, not float32 of {shape}"
            )
        if not np.isfinite(tensor).all():
            raise ValueError(f"tensor {name!r} of the compressed search is not finite")
