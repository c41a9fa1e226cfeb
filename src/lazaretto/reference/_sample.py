"""Some trusted rows of a stored reference, read without loading all of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from lazaretto.errors import ReferenceMismatchError

if TYPE_CHECKING:
    import numpy.typing as npt

_LONGEST_HEAD = 2**24
_RUNS = 64
_TYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"),
}


@dataclass(frozen=True, slots=True)
class TrustedRows:
    """Rows of a reference. N of them with D dimensions.

    Attributes:
        vectors: float32 (N, D).
        label: int64 (N,), index among the reference's classes; None without labels.
        rows: how many the reference has in all.
    """

    vectors: npt.NDArray[np.float32]
    label: npt.NDArray[np.int64] | None
    rows: int


def read_trusted(tensors: IO[bytes], most: int) -> TrustedRows:
    """Reads trusted rows of a reference's safetensors file: all, or runs spread evenly over it.

    Only what is asked for is read: a reference may be larger than memory should be.

    Args:
        tensors: the file, seekable; whoever opened it checks its bytes while they are read.
        most: rows, at most.

    Raises:
        ReferenceMismatchError: this is no reference's file.
    """
    try:
        size = int.from_bytes(tensors.read(8), "little")
        if size > _LONGEST_HEAD:
            raise ValueError(f"a head of {size} bytes")
        head = json.loads(tensors.read(size))
        vectors = _Tensor.of(head, "sample.embedding", 8 + size)
        runs = _runs(vectors.shape[0], most)
        label = None
        if "sample.label" in head:
            label = _Tensor.of(head, "sample.label", 8 + size).read(tensors, runs)
            label = label.astype(np.int64)
        found = vectors.read(tensors, runs).astype(np.float32)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ReferenceMismatchError(
            f"the trusted rows of the reference cannot be read: {error!r}"
        ) from error
    return TrustedRows(found, label, vectors.shape[0])


@dataclass(frozen=True, slots=True)
class _Tensor:
    """Where an array lies in the file."""

    kind: np.dtype[Any]
    shape: tuple[int, ...]
    start: int

    @classmethod
    def of(cls, head: dict[str, Any], name: str, base: int) -> _Tensor:
        known = head[name]
        shape = tuple(int(size) for size in known["shape"])
        return cls(_TYPES[known["dtype"]], shape, base + int(known["data_offsets"][0]))

    def read(self, file: IO[bytes], runs: list[tuple[int, int]]) -> npt.NDArray[Any]:
        width = int(np.prod(self.shape[1:], dtype=np.int64)) * self.kind.itemsize
        parts = []
        for first, count in runs:
            file.seek(self.start + first * width)
            parts.append(file.read(count * width))
        rows = sum(count for _, count in runs)
        return np.frombuffer(b"".join(parts), dtype=self.kind).reshape(rows, *self.shape[1:])


def _runs(rows: int, most: int) -> list[tuple[int, int]]:
    """First row and number of rows of each run."""
    if rows <= most:
        return [(0, rows)]
    count = max(1, most // _RUNS)
    starts = np.linspace(0, rows - count, num=min(_RUNS, most), dtype=np.int64)
    return [(int(first), count) for first in starts]
