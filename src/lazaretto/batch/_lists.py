"""Rows of a matrix as a column of lists of one length, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def as_lists(matrix: npt.NDArray[np.floating[Any]]) -> pa.FixedSizeListArray:
    """A column (n) of lists of d numbers from a matrix (n, d), in its dtype."""
    flat = pa.array(np.ascontiguousarray(matrix).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1])


def as_matrix(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
    """The matrix (n, d) of a column that `as_lists` made; not to be written to."""
    lists = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    flat = lists.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat).reshape(len(lists), lists.type.list_size)
