"""Extreme eigenvalues of symmetric matrices, a batch at a time, without their d^3."""

from __future__ import annotations

from typing import NamedTuple

import torch

_STEPS = 40


class Top(NamedTuple):
    """Leading eigenpairs of a batch.

    Attributes:
        value: (G,).
        vector: (G, d), of unit length (zero for a zero matrix).
        lowest: (G,), the smallest eigenvalue, or a little above it: by 1 % of the spread at most.
    """

    value: torch.Tensor
    vector: torch.Tensor
    lowest: torch.Tensor


def leading(matrix: torch.Tensor) -> Top:
    """Leading eigenpairs of symmetric positive semidefinite matrices (G, d, d).

    Lanczos (1950) from a fixed random start with full reorthogonalisation. After 40 steps the error
    of the eigenvalue is of the order of ``exp(-160 sqrt(gap))``, the gap to the next relative to
    the spread. At the edge of a pure noise spectrum, 2e-5 was seen with d = 1,024, 1e-6 with 512.
    """
    g, d, _ = matrix.shape
    if d <= _STEPS:
        values, vectors = torch.linalg.eigh(matrix)
        return Top(values[:, -1], vectors[:, :, -1], values[:, 0])
    start = torch.Generator().manual_seed(0)
    v = torch.randn(d, generator=start, dtype=torch.float64).to(matrix)
    v = (v / v.norm()).expand(g, 1, d)
    basis = matrix.new_zeros(g, _STEPS, d)
    inner = matrix.new_zeros(g, _STEPS, _STEPS)
    tiny = torch.finfo(matrix.dtype).tiny
    for step in range(_STEPS):
        basis[:, step : step + 1] = v
        known = basis[:, : step + 1]
        # Rows times the symmetric matrix: MKL's columns take thirteen times as long.
        w = v @ matrix
        shares = w @ known.mT
        inner[:, step : step + 1, : step + 1] = shares
        w = w - shares @ known
        w = w - (w @ known.mT) @ known
        v = w / w.norm(dim=2, keepdim=True).clamp(min=tiny)
    # eigh reads the lower triangle, the one that was filled.
    values, vectors = torch.linalg.eigh(inner)
    vector = (vectors[:, None, :, -1] @ basis)[:, 0]
    unit = vector / vector.norm(dim=1, keepdim=True).clamp(min=tiny)
    return Top(values[:, -1], unit, values[:, 0])
