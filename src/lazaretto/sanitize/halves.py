"""Products whose result is symmetric, or whose factor is triangular, at about half the price.

BLAS knows both (syrk, trmm), torch does not offer them. Block by block they are plain matrix
products over the part that is not redundant or zero: 9/16 of the work with eight blocks.
"""

from __future__ import annotations

import torch

_LEAF = 96


def blocks(width: int, device: torch.device) -> list[slice]:
    """Column blocks: eight of them, but none so narrow that a product runs below its rate."""
    narrowest = 64 if device.type == "cpu" else 256
    step = max(narrowest, -(-width // 8))
    return [slice(i, min(i + step, width)) for i in range(0, width, step)]


def add_gram(total: torch.Tensor, x: torch.Tensor) -> None:
    """Adds at least the upper triangle of ``x' x`` to `total` (d, d); `mirror` completes it."""
    if x.device.type == "cpu":
        # NumPy hands this very product to syrk: twice the rate of the general one.
        rows_of_x = x.numpy()
        total += torch.from_numpy(rows_of_x.T @ rows_of_x)
        return
    add_gram_by_blocks(total, x)


def add_gram_by_blocks(total: torch.Tensor, x: torch.Tensor) -> None:
    """`add_gram` where there is no syrk to be had."""
    for rows in blocks(x.shape[1], x.device):
        total[rows, rows.start :] += x[:, rows].T @ x[:, rows.start :]


def mirror(total: torch.Tensor) -> torch.Tensor:
    """Copies the upper triangles of (..., d, d) to the lower ones, in place."""
    for rows in blocks(total.shape[-1], total.device):
        total[..., rows.stop :, rows] = total[..., rows, rows.stop :].mT
    return total


def squared_norms(x: torch.Tensor, upper: torch.Tensor) -> torch.Tensor:
    """Squared norms (n,) of the rows of ``x @ upper``, with an upper triangular (d, d)."""
    out = x.new_zeros(len(x))
    for columns in blocks(x.shape[1], x.device):
        z = x[:, : columns.stop] @ upper[: columns.stop, columns]
        out += torch.linalg.vecdot(z, z)
    return out


def congruence(matrix: torch.Tensor, upper: torch.Tensor) -> torch.Tensor:
    """``upper' matrix upper`` (..., d, d), of symmetric matrices and upper triangular factors."""
    out = torch.empty_like(matrix)
    parts = blocks(matrix.shape[-1], matrix.device)
    for i, columns in enumerate(parts):
        right = matrix[..., : columns.stop, : columns.stop] @ upper[..., : columns.stop, columns]
        for rows in parts[: i + 1]:
            left = upper[..., : rows.stop, rows].mT
            out[..., rows, columns] = left @ right[..., : rows.stop, :]
    return mirror(out)


def symmetric_product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """``a @ b`` (..., d, d) of symmetric matrices that commute, so that it is symmetric too."""
    out = torch.empty_like(a)
    for columns in blocks(a.shape[-1], a.device):
        out[..., : columns.stop, columns] = a[..., : columns.stop, :] @ b[..., :, columns]
    return mirror(out)


def upper_product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """``a @ b`` (..., d, d) of upper triangular matrices."""
    out = torch.zeros_like(a)
    parts = blocks(a.shape[-1], a.device)
    for i, columns in enumerate(parts):
        for rows in parts[: i + 1]:
            inner = slice(rows.start, columns.stop)
            out[..., rows, columns] = a[..., rows, inner] @ b[..., inner, columns]
    return out


def inverse_factor(matrix: torch.Tensor) -> torch.Tensor:
    """Inverses of the lower Cholesky factors of positive definite matrices (..., d, d).

    By halves, so that nearly all of the work is matrix products.

    Raises:
        torch.linalg.LinAlgError: a matrix is not positive definite.
    """
    d = matrix.shape[-1]
    if d <= _LEAF:
        lower = torch.linalg.cholesky(matrix)
        eye = torch.eye(d, device=lower.device, dtype=lower.dtype)
        solved: torch.Tensor = torch.linalg.solve_triangular(lower, eye, upper=False)
        return solved
    h = d // 2
    first = inverse_factor(matrix[..., :h, :h])
    below = matrix[..., h:, :h] @ first.mT
    second = inverse_factor(matrix[..., h:, h:] - below @ below.mT)
    out = torch.zeros_like(matrix)
    out[..., :h, :h], out[..., h:, h:] = first, second
    out[..., h:, :h] = -(second @ (below @ first))
    return out


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
        lower, failed = torch.linalg.cholesky_ex(turned)
        jitter = 4 * jitter
        if not failed.any() or not bool(torch.isfinite(largest).all()):
            found: torch.Tensor = lower.flip((-2, -1))
            return found
