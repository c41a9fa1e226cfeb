"""Some trusted rows of a stored reference, read without loading all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np

from lazaretto.errors import ReferenceMismatchError
from lazaretto.reference._file import EMBEDDING, LABEL
from lazaretto.reference._packed import Packed

if TYPE_CHECKING:
    import numpy.typing as npt

_RUNS = 64


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
        packed = Packed.open(tensors)
        rows = packed.rows(EMBEDDING)
        runs = _runs(rows, most)
        vectors = np.concatenate([packed.part(EMBEDDING, *run) for run in runs])
        label = None
        if LABEL in packed.entries:
            label = np.concatenate([packed.part(LABEL, *run) for run in runs])
        if vectors.ndim != 2:
            raise ValueError(f"vectors of {vectors.ndim} dimensions")
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ReferenceMismatchError(
            f"the trusted rows of the reference cannot be read: {error!r}"
        ) from error
    return TrustedRows(vectors, label, rows)


def _runs(rows: int, most: int) -> list[tuple[int, int]]:
    """First row and number of rows of each run."""
    if rows <= most:
        return [(0, rows)]
    count = max(1, most // _RUNS)
    starts = np.linspace(0, rows - count, num=min(_RUNS, most), dtype=np.int64)
    return [(int(first), count) for first in starts]
