"""What a clean class looks like: its centre and covariance, without the fold that is judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from lazaretto.sanitize.moments import (
    class_covariance,
    class_moments,
    leave_one_out,
    tied_covariance,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from lazaretto.sanitize.moments import Moments
    from lazaretto.sanitize.problem import Problem, Side


@dataclass(frozen=True, slots=True)
class Whitening:
    """Whitening of every (class, fold) group of a block of classes, fitted without that fold.

    Attributes:
        center: float64 (G, d).
        basis: (G, d, d), of the problem's type: ``(x - center) @ basis`` is white where clean.
        known: bool (G,), whether the class had a row to be fitted on.
    """

    center: torch.Tensor
    basis: torch.Tensor
    known: torch.Tensor

    def form(self, white: torch.Tensor | None = None) -> torch.Tensor:
        """Forms (G, d, d) of row space that are `white` in white coordinates; NaN where unknown.

        Without `white`, those of squared Mahalanobis distances.
        """
        left = self.basis if white is None else self.basis @ white
        return torch.where(self.known[:, None, None], left @ self.basis.mT, torch.nan)

    def whiten(self, second: torch.Tensor) -> torch.Tensor:
        """Second moments (G, d, d) about `center` in white coordinates: I where clean."""
        return self.basis.mT @ second.to(self.basis.dtype) @ self.basis


def make_whitening(
    center: torch.Tensor,
    covariance: torch.Tensor,
    scale: torch.Tensor,
    known: torch.Tensor,
    dtype: torch.dtype,
) -> Whitening:
    """Whitening by covariances (G, d, d) that are in units of feature scales (G, d)."""
    lower = torch.linalg.cholesky(covariance)
    eye = torch.eye(lower.shape[-1], device=lower.device, dtype=lower.dtype)
    inverse = torch.linalg.solve_triangular(lower, eye, upper=False)
    return Whitening(center, (inverse.mT / scale[:, :, None]).to(dtype), known)


def whitenings(
    problem: Problem, side: Side, weight: NDArray[np.float32] | None = None
) -> Iterator[tuple[range, Whitening]]:
    """Whitening of each block of classes, every fold's fitted on the rows that are not in the fold.

    Args:
        problem: the layer.
        side: the rows that count as clean.
        weight: non-negative (n,) of `side`; rows of weight 0 are left out.
    """
    blocks = list(problem.class_blocks())
    kept = class_moments(problem, side, blocks[0], weight) if len(blocks) == 1 else None
    size = (problem.folds, problem.width, problem.width)
    scatter = torch.zeros(size, device=problem.device, dtype=torch.float64)
    degrees = torch.zeros_like(scatter[:, 0, 0])
    for classes in blocks:
        for fold, part in enumerate(_parts(problem, side, classes, weight, kept)):
            scatter[fold] += part.scatter.sum(0)
            degrees[fold] += (part.count - 1).clamp(min=0).sum()
    ties = [tied_covariance(s, n) for s, n in zip(scatter, degrees, strict=True)]
    for classes in blocks:
        parts = _parts(problem, side, classes, weight, kept)
        covariance = [
            class_covariance(part, tied, scale)
            for part, (scale, tied) in zip(parts, ties, strict=True)
        ]
        scales = [scale.expand(len(classes), -1) for scale, _ in ties]
        white = make_whitening(
            torch.stack([part.mean for part in parts], 1).flatten(0, 1),
            torch.stack(covariance, 1).flatten(0, 1),
            torch.stack(scales, 1).flatten(0, 1),
            torch.stack([part.count > 0 for part in parts], 1).flatten(),
            problem.dtype,
        )
        yield classes, white


def _parts(
    problem: Problem,
    side: Side,
    classes: range,
    weight: NDArray[np.float32] | None,
    kept: Moments | None,
) -> list[Moments]:
    moments = class_moments(problem, side, classes, weight) if kept is None else kept
    return leave_one_out(moments, (len(classes), problem.folds))
