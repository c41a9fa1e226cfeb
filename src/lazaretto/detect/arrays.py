"""The arrays that detectors work on: their types, and operations that NumPy has no name for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]
    Ints = npt.NDArray[np.int64]
    State = npt.NDArray[Any]


def own_column(values: Floats, label: Ints) -> Floats:
    """The value in the column of each row's own label, (n,)."""
    own: Floats = np.take_along_axis(values, label[:, None], axis=1)[:, 0]
    return own


def without_own_column(values: Floats, label: Ints, fill: float) -> Floats:
    """A copy of the values with another one in the column of each row's own label."""
    others = values.copy()
    np.put_along_axis(others, label[:, None], np.asarray(fill, dtype=values.dtype), axis=1)
    return others


def group_sums(rows: Floats, group: Ints, groups: int) -> Floats:
    """Sum of the rows of each group, (groups, d); zero for a group without rows."""
    sums = np.zeros((groups, rows.shape[1]), dtype=rows.dtype)
    order = np.argsort(group, kind="stable")
    present, start = np.unique(group[order], return_index=True)
    if len(present):
        sums[present] = np.add.reduceat(rows[order], start, axis=0)
    return sums


def group_means(rows: Floats, group: Ints, groups: int) -> Floats:
    """Mean of the rows of each group, (groups, d); of a group without rows, that of all rows.

    Args:
        rows: float64 (n, d), n at least 1.
        group: int64 (n,), below `groups`.
        groups: how many.
    """
    counts = np.bincount(group, minlength=groups)
    means = np.tile(rows.mean(0), (groups, 1))
    seen = counts > 0
    means[seen] = group_sums(rows, group, groups)[seen] / counts[seen][:, None]
    return means


def about_group_means(rows: Floats, group: Ints) -> Floats:
    """Rows about the mean of their group, (n, d).

    Args:
        rows: float64 (n, d), n at least 1.
        group: int64 (n,), from 0 on.
    """
    centred: Floats = rows - group_means(rows, group, int(group.max()) + 1)[group]
    return centred


def squared_distances(first: Floats, second: Floats) -> Floats:
    """Squared Euclidean distances, float64 (n, m), without an (n, m, d) array."""
    wide, other = first.astype(np.float64), second.astype(np.float64)
    squared: Floats = np.einsum("ij,ij->i", wide, wide)[:, None] - 2 * (wide @ other.T)
    squared += np.einsum("ij,ij->i", other, other)
    return np.maximum(squared, 0, out=squared)


def same_rows(rows: Floats) -> tuple[int, Ints]:
    """How many different rows there are, and which of them each row is, int64 (n,)."""
    if not len(rows):
        return 0, np.empty(0, dtype=np.int64)
    # Adding zero makes one of both zeros; then equal numbers are equal bytes.
    whole = np.ascontiguousarray(rows + 0)
    as_bytes = whole.view(np.dtype((np.void, whole.shape[1] * whole.itemsize))).reshape(-1)
    found, number = np.unique(as_bytes, return_inverse=True)
    return len(found), number.reshape(-1).astype(np.int64)
