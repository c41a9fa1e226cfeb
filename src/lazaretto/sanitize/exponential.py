"""Matrix exponentials of a batch, as factors that score rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from lazaretto.sanitize.halves import symmetric_product

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EXACT = 64
_DEGREE = 9
_REACH = 3.0


def half_exponential(matrix: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """``exp((matrix - high I) / 2)`` of symmetric matrices (..., d, d), whose square has norm <= 1.

    float64 and small matrices: by eigendecomposition. Else by a Chebyshev polynomial of degree 9
    over the spectrum, in four symmetric products (Paterson and Stockmeyer 1973), with a squaring
    for every doubling of the spectrum beyond 12. The polynomial is within 4e-5 of the exponential
    at the middle of the spectrum.

    Args:
        matrix: symmetric.
        low: a lower bound of all eigenvalues.
        high: an upper bound of all eigenvalues.
    """
    if matrix.dtype == torch.float64 or matrix.shape[-1] <= _EXACT:
        values, vectors = torch.linalg.eigh(matrix)
        exact: torch.Tensor = (vectors * ((values - high) / 2).exp()[..., None, :]) @ vectors.mT
        return exact
    half = max((high - low) / 4, 1e-3)
    squarings = max(0, math.ceil(math.log2(half / _REACH)))
    half /= 2**squarings
    # t = (matrix - middle) / radius has its spectrum in -1..1, where exp(half * t) is expanded.
    middle, radius = (high + low) / 2, max((high - low) / 2, 2e-3)
    t = matrix / radius
    t.diagonal(dim1=-2, dim2=-1).sub_(middle / radius)
    out = _polynomial(t, _coefficients(half) * math.exp(-half))
    for _ in range(squarings):
        out = symmetric_product(out, out)
    return out


def _coefficients(half: float) -> NDArray[np.float64]:
    """Monomial coefficients of the Chebyshev interpolant of ``exp(half t)`` on -1..1."""
    nodes = np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
    monomials: NDArray[np.float64] = np.linalg.solve(
        np.vander(nodes, increasing=True), np.exp(half * nodes)
    )
    return monomials


def _polynomial(t: torch.Tensor, c: NDArray[np.float64]) -> torch.Tensor:
    """Degree-9 polynomial of symmetric matrices: t^2, t^3, then Horner's rule in t^3."""
    square = symmetric_product(t, t)
    cube = symmetric_product(square, t)

    def part(i: int) -> torch.Tensor:
        block = float(c[i + 1]) * t
        block.add_(square, alpha=float(c[i + 2]))
        block.diagonal(dim1=-2, dim2=-1).add_(float(c[i]))
        return block

    out = part(6).add_(cube, alpha=float(c[9]))
    out = part(3).add_(symmetric_product(out, cube))
    return part(0).add_(symmetric_product(out, cube))
