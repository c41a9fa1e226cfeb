"""What `triangular` needs of BLAS and LAPACK that torch does not offer, on a CPU.

Triangular products (trmm) and solutions (trsm) take half the operations of general ones, and the
recursions below hand them nearly all of the work; the libraries' own factorisations of 256 to 1,024
columns run at a fifth to a third of that rate. All arrays are C-contiguous, which BLAS, that counts
by columns, sees as their transposes: a lower triangle is an upper one to it.
"""

from __future__ import annotations

from functools import cache, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
import torch
from scipy.linalg import get_blas_funcs, get_lapack_funcs
from threadpoolctl import ThreadpoolController

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Matrix = NDArray[np.floating[Any]]

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")

LEAF = 96
"""Columns up to which a recursion hands the whole to the library."""

_SCRATCH_BYTES = 2**20
"""Rows are multiplied in pieces that stay in the cache next to the core."""


def in_torch_threads(work: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    """Lets BLAS have no more threads than torch has, while a function that uses both runs.

    BLAS starts with a thread per core whatever torch was told, and its threads wait for work by
    spinning. On two cores, with one thread of torch's and two of BLAS's, `inverse_factor` of ten
    matrices of 512 columns took 0.30 s instead of 0.03.
    """

    @wraps(work)
    def limited(*args: _Given.args, **options: _Given.kwargs) -> _Result:
        with _libraries().limit(limits=torch.get_num_threads(), user_api="blas"):
            return work(*args, **options)

    return limited


@cache
def _libraries() -> ThreadpoolController:
    # Found once: looking for them takes milliseconds, setting their threads microseconds.
    return ThreadpoolController()


def gram(x: Matrix) -> Matrix:
    """``x' x`` (d, d); below the diagonal, zeros may stand for what is above it."""
    if len(x) >= 4 * x.shape[1]:
        # NumPy hands this very product to syrk, and then copies the triangle.
        return x.T @ x
    (syrk,) = get_blas_funcs(("syrk",), (x,))
    out: Matrix = syrk(1.0, x.T, lower=1).T
    return out


def row_products(x: Matrix) -> Matrix:
    """``x x'`` (n, n); below the diagonal are zeros."""
    (syrk,) = get_blas_funcs(("syrk",), (x,))
    out: Matrix = syrk(1.0, x.T, trans=1, lower=1).T
    return out


def squared_norms(x: Matrix, upper: Matrix) -> Matrix:
    """Squared norms (n,) of the rows of ``x @ upper``, with an upper triangular (d, d)."""
    (trmm,) = get_blas_funcs(("trmm",), (x, upper))
    (n, d), by_columns = x.shape, np.ascontiguousarray(upper).T
    step = max(256, _SCRATCH_BYTES // (x.itemsize * max(d, 1)))
    scratch, out = np.empty((min(step, n), d), x.dtype), np.empty(n, x.dtype)
    for begin in range(0, n, step):
        z = scratch[: min(step, n - begin)]
        z[:] = x[begin : begin + step]
        trmm(1.0, by_columns, z.T, lower=1, overwrite_b=1)
        np.einsum("ij,ij->i", z, z, out=out[begin : begin + step])
    return out


def cholesky(matrix: Matrix) -> Matrix:
    """Lower Cholesky factor (d, d) of a positive definite matrix.

    Raises:
        numpy.linalg.LinAlgError: it is not positive definite.
    """
    lower = np.tril(matrix)
    _cholesky(lower)
    return lower


def _cholesky(lower: Matrix) -> None:
    """Replaces a symmetric matrix, of which the lower triangle is given, by its factor."""
    if len(lower) <= LEAF:
        lower[:] = _leaf(lower)
        return
    h = len(lower) // 2
    _cholesky(lower[:h, :h])
    (trsm,) = get_blas_funcs(("trsm",), (lower,))
    first, below = lower[:h, :h].copy(), lower[h:, :h].copy()
    trsm(1.0, first.T, below.T, trans_a=1, overwrite_b=1)
    lower[h:, :h] = below
    lower[h:, h:] -= np.tril(below @ below.T)
    _cholesky(lower[h:, h:])


def inverse_factor(matrix: Matrix) -> Matrix:
    """Inverse (d, d) of the lower Cholesky factor of a positive definite matrix.

    Raises:
        numpy.linalg.LinAlgError: it is not positive definite.
    """
    if len(matrix) <= LEAF:
        (trtri,) = get_lapack_funcs(("trtri",), (matrix,))
        inverse: Matrix = trtri(_leaf(matrix).T, overwrite_c=1)[0].T
        return inverse
    h = len(matrix) // 2
    (trmm,) = get_blas_funcs(("trmm",), (matrix,))
    first = inverse_factor(matrix[:h, :h])
    below = matrix[h:, :h].copy()
    trmm(1.0, first.T, below.T, trans_a=1, overwrite_b=1)
    second = inverse_factor(matrix[h:, h:] - below @ below.T)
    trmm(1.0, first.T, below.T, overwrite_b=1)
    trmm(-1.0, second.T, below.T, side=1, overwrite_b=1)
    out = np.zeros_like(matrix)
    out[:h, :h], out[h:, :h], out[h:, h:] = first, below, second
    return out


def _leaf(matrix: Matrix) -> Matrix:
    (potrf,) = get_lapack_funcs(("potrf",), (matrix,))
    factor, failed = potrf(matrix.T)
    if failed:
        raise np.linalg.LinAlgError("a matrix is not positive definite")
    lower: Matrix = factor.T
    return lower
