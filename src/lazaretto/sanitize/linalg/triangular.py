"""Products whose result is symmetric, or whose factor is triangular, at about half the price.

BLAS knows both (syrk, trmm), torch does not offer them. With one thread on a CPU, `blas` calls
them. Elsewhere, and where BLAS has no such routine, block by block they are plain matrix products
over the part that is not redundant or zero: 9/16 of the work with eight blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from lazaretto.sanitize.linalg import blas

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def has_blas(x: torch.Tensor) -> bool:
    """Whether `blas` and NumPy are to work on `x`: with one thread only.

    The threads of torch and those of BLAS wait for work by spinning, each on the cores that the
    other needs: on two cores, 8.6 seconds for what torch alone does in 1.3.
    """
    return x.device.type == "cpu" and torch.get_num_threads() == 1


def blocks(width: int, device: torch.device) -> list[slice]:
    """Column blocks: eight of them, but none so narrow that a product runs below its rate."""
    narrowest = 64 if device.type == "cpu" else 256
    step = max(narrowest, -(-width // 8))
    return [slice(i, min(i + step, width)) for i in range(0, width, step)]


@blas.in_torch_threads
def add_gram(total: torch.Tensor, x: torch.Tensor) -> None:
    """Adds at least the upper triangles of ``x' x`` to `total` (S, d, d), of x (S, m, d).

    `mirror`, with its corners, completes them.
    """
    if has_blas(x) and len(x) == 1:
        total[0] += torch.from_numpy(blas.gram(x[0].numpy()))
        return
    add_gram_by_blocks(total, x)


def add_gram_by_blocks(total: torch.Tensor, x: torch.Tensor) -> None:
    """`add_gram` where there is no syrk to be had."""
    for rows in blocks(x.shape[-1], x.device):
        total[..., rows, rows.start :] += x[..., rows].mT @ x[..., rows.start :]


@blas.in_torch_threads
def row_products(x: torch.Tensor) -> torch.Tensor:
    """``x x'`` (S, m, m) of x (S, m, d)."""
    out = x.new_empty(*x.shape[:-1], x.shape[-2])
    if has_blas(x) and x.shape[-2] > blas.LEAF:
        for one, found in zip(x.numpy(), out.numpy(), strict=True):
            found[:] = blas.row_products(one)
        return mirror(out, corners=True)
    for rows in blocks(x.shape[-2], x.device):
        out[..., rows, rows.start :] = x[..., rows, :] @ x[..., rows.start :, :].mT
    return mirror(out)


def mirror(total: torch.Tensor, *, corners: bool = False) -> torch.Tensor:
    """Copies the upper triangles of (..., d, d) to the lower ones, in place.

    Args:
        total: upper triangles, with whole blocks on the diagonal.
        corners: those blocks too have only their upper triangles.
    """
    for rows in blocks(total.shape[-1], total.device):
        total[..., rows.stop :, rows] = total[..., rows, rows.stop :].mT
        if corners:
            corner = total[..., rows, rows]
            corner.copy_(corner.triu() + corner.triu(1).mT)
    return total


def multiply(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
    """Writes ``a @ b`` (..., m, n) to `out`, which may be a part of a larger matrix."""
    if has_blas(a):
        # NumPy writes into the part itself, and its BLAS is the one that `blas` uses.
        np.matmul(a.numpy(), b.numpy(), out=out.numpy())
    else:
        out[...] = a @ b


@blas.in_torch_threads
def squared_norms(x: torch.Tensor, upper: torch.Tensor) -> torch.Tensor:
    """Squared norms (S, m) of the rows of ``x @ upper``, with upper triangular (S, d, d)."""
    if has_blas(x) and len(x) == 1:
        return torch.from_numpy(blas.squared_norms(x[0].numpy(), upper[0].numpy()))[None]
    return squared_norms_by_blocks(x, upper)


def squared_norms_by_blocks(x: torch.Tensor, upper: torch.Tensor) -> torch.Tensor:
    """`squared_norms` where there is no trmm to be had."""
    out = x.new_zeros(x.shape[:-1])
    for columns in blocks(x.shape[-1], x.device):
        z = x[..., : columns.stop] @ upper[..., : columns.stop, columns]
        out += torch.linalg.vecdot(z, z)
    return out


@blas.in_torch_threads
def congruence(matrix: torch.Tensor, upper: torch.Tensor) -> torch.Tensor:
    """``upper' matrix upper`` (..., d, d), of symmetric matrices and upper triangular factors."""
    out = torch.empty_like(matrix)
    parts = blocks(matrix.shape[-1], matrix.device)
    for i, columns in enumerate(parts):
        right = torch.empty_like(upper[..., : columns.stop, columns])
        part = matrix[..., : columns.stop, : columns.stop]
        multiply(part, upper[..., : columns.stop, columns], right)
        for rows in parts[: i + 1]:
            left = upper[..., : rows.stop, rows].mT
            multiply(left, right[..., : rows.stop, :], out[..., rows, columns])
    return mirror(out)


@blas.in_torch_threads
def symmetric_product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """``a @ b`` (..., d, d) of symmetric matrices that commute, so that it is symmetric too."""
    out = torch.empty_like(a)
    for columns in blocks(a.shape[-1], a.device):
        multiply(a[..., : columns.stop, :], b[..., :, columns], out[..., : columns.stop, columns])
    return mirror(out)


@blas.in_torch_threads
def upper_product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """``a @ b`` (..., d, d) of upper triangular matrices."""
    out = torch.zeros_like(a)
    parts = blocks(a.shape[-1], a.device)
    for i, columns in enumerate(parts):
        for rows in parts[: i + 1]:
            inner = slice(rows.start, columns.stop)
            multiply(a[..., rows, inner], b[..., inner, columns], out[..., rows, columns])
    return out


@blas.in_torch_threads
def inverse_factor(matrix: torch.Tensor) -> torch.Tensor:
    """Inverses of the lower Cholesky factors of positive definite matrices (..., d, d).

    By recursive two-by-two blocks, so that nearly all of the work is matrix products.

    Raises:
        torch.linalg.LinAlgError: a matrix is not positive definite.
        numpy.linalg.LinAlgError: the same, from `blas`.
    """
    d = matrix.shape[-1]
    if d <= blas.LEAF:
        lower = torch.linalg.cholesky(matrix)
        eye = torch.eye(d, device=lower.device, dtype=lower.dtype)
        solved: torch.Tensor = torch.linalg.solve_triangular(lower, eye, upper=False)
        return solved
    if has_blas(matrix):
        return _one_by_one(blas.inverse_factor, matrix)
    return inverse_factor_by_blocks(matrix)


def inverse_factor_by_blocks(matrix: torch.Tensor) -> torch.Tensor:
    """`inverse_factor` in general products, a batch at a time."""
    h = matrix.shape[-1] // 2
    first = inverse_factor(matrix[..., :h, :h])
    below = matrix[..., h:, :h] @ first.mT
    second = inverse_factor(matrix[..., h:, h:] - below @ below.mT)
    out = torch.zeros_like(matrix)
    out[..., :h, :h], out[..., h:, h:] = first, second
    out[..., h:, :h] = -(second @ (below @ first))
    return out


@blas.in_torch_threads
def upper_factor(matrix: torch.Tensor) -> torch.Tensor:
    """Upper triangular R (..., d, d) with ``R R'`` the positive semidefinite matrix.

    Its diagonal is raised by 16 units of precision of the largest entry, and further where rounding
    still leaves it indefinite.
    """
    turned = matrix.flip((-2, -1))
    largest = turned.diagonal(dim1=-2, dim2=-1).amax(-1, keepdim=True)
    jitter = 16 * torch.finfo(matrix.dtype).eps * largest
    while True:
        turned.diagonal(dim1=-2, dim2=-1).add_(jitter)
        lower, failed = _cholesky(turned)
        jitter = 4 * jitter
        if not failed or not bool(torch.isfinite(largest).all()):
            found: torch.Tensor = lower.flip((-2, -1))
            return found


def _cholesky(matrix: torch.Tensor) -> tuple[torch.Tensor, bool]:
    """Lower factors, and whether some could not be had; those are void."""
    if has_blas(matrix) and matrix.shape[-1] > blas.LEAF:
        lower = _one_by_one(_cholesky_or_nan, matrix)
        return lower, bool(lower[..., 0, 0].isnan().any())
    lower, failed = torch.linalg.cholesky_ex(matrix)
    return lower, bool(failed.any())


def _cholesky_or_nan(matrix: NDArray[np.floating]) -> NDArray[np.floating]:
    try:
        return blas.cholesky(matrix)
    except np.linalg.LinAlgError:
        return np.full_like(matrix, np.nan)


def _one_by_one(
    work: Callable[[NDArray[np.floating]], NDArray[np.floating]], matrix: torch.Tensor
) -> torch.Tensor:
    flat = matrix.reshape(-1, *matrix.shape[-2:])
    out = torch.empty_like(flat)
    for one, found in zip(flat, out, strict=True):
        found.numpy()[:] = work(one.numpy())
    return out.view(matrix.shape)
