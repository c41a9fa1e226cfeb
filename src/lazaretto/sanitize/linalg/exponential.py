"""Matrix exponentials of a batch, as factors that score rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from lazaretto.sanitize.linalg.triangular import symmetric_product

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EXACT = 64
_DEGREE = 8
_REACH = 2.5


def half_exponential(matrix: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """``exp((matrix - high I) / 2)`` of symmetric matrices (..., d, d), whose square has norm <= 1.

    float64, and small matrices on a CPU: by eigendecomposition. Else by a Chebyshev polynomial of
    degree 8 over the spectrum, in three symmetric products (Sastre 2018), with a squaring for every
    doubling of the spectrum beyond 10. The polynomial is within 6e-5 of the exponential at the
    middle of the spectrum, within 8e-6 where the spectrum is no wider than 8.

    Args:
        matrix: symmetric.
        low: a lower bound of all eigenvalues.
        high: an upper bound of all eigenvalues.
    """
    small = matrix.device.type == "cpu" and matrix.shape[-1] <= _EXACT
    if small or matrix.dtype == torch.float64:
        values, vectors = torch.linalg.eigh(matrix)
        exact: torch.Tensor = (vectors * ((values - high) / 2).exp()[..., None, :]) @ vectors.mT
        return exact
    # t = (matrix - middle) / radius has its spectrum in -1..1, where exp(half * t) is expanded.
    middle, radius = (high + low) / 2, max((high - low) / 2, 1.0)
    squarings = max(0, math.ceil(math.log2(radius / 2 / _REACH)))
    half, shift = radius / 2 / 2**squarings, (middle - high) / 2 / 2**squarings
    t = matrix / radius
    t.diagonal(dim1=-2, dim2=-1).sub_(middle / radius)
    out = _polynomial(t, _coefficients(half) * math.exp(shift))
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
    """Degree-8 polynomial of symmetric matrices in three products.

    ``(y + p t^2 + q t) (y + r t^2) + s y + c2 t^2 + c1 t + c0`` with ``y = t^2 (a t^2 + b t)``:
    Sastre (2018), "Efficient evaluation of matrix polynomials", section 3.1. Coefficients are real
    for exponentials over -1..1 with halves of 0.5 to 4 at least.
    """
    a = math.sqrt(c[8])
    b = c[7] / (2 * a)
    both = (c[6] - b**2) / a
    q = (c[5] - b * both) / a
    linear, constant = both - a * q / b, a / b * c[3] - c[4] + b * q
    r = (linear - math.sqrt(linear**2 + 4 * constant)) / 2
    p, s = both - r, (c[3] - q * r) / b
    square = symmetric_product(t, t)
    y = symmetric_product(square, torch.add(a * square, t, alpha=b))
    left = torch.add(y, square, alpha=p).add_(t, alpha=q)
    out = symmetric_product(left, torch.add(y, square, alpha=r))
    out.add_(y, alpha=s).add_(square, alpha=float(c[2])).add_(t, alpha=float(c[1]))
    out.diagonal(dim1=-2, dim2=-1).add_(float(c[0]))
    return out
