"""What a clean class looks like: its centre and covariance, without the fold that is judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from lazaretto.sanitize.moments import (
    class_covariance,
    class_moments,
    tied_covariance,
    without_fold,
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
        lower: float64 (G, d, d), Cholesky factor of the covariance in units of `scale`.
        scale: float64 (G, d), feature scales.
        known: bool (G,), whether the class had a row to be fitted on.
    """

    center: torch.Tensor
    lower: torch.Tensor
    scale: torch.Tensor
    known: torch.Tensor

    def precision(self) -> torch.Tensor:
        """The forms (G, d, d) of squared Mahalanobis distances; NaN for unknown groups."""
        return self._form(torch.cholesky_inverse(self.lower))

    def basis(self, vectors: torch.Tensor) -> torch.Tensor:
        """Directions (G, d, k) of whitened space as directions of row space."""
        scaled: torch.Tensor = torch.linalg.solve_triangular(self.lower.mT, vectors, upper=True)
        return scaled.div(self.scale[:, :, None])

    def whiten(self, second: torch.Tensor) -> torch.Tensor:
        """Second moments (G, d, d) about `center` in whitened coordinates: I where clean."""
        second = second / (self.scale[:, :, None] * self.scale[:, None, :])
        half = torch.linalg.solve_triangular(self.lower, second, upper=False)
        whitened: torch.Tensor = torch.linalg.solve_triangular(self.lower, half.mT, upper=False)
        return whitened

    def _form(self, inverse: torch.Tensor) -> torch.Tensor:
        form = inverse / (self.scale[:, :, None] * self.scale[:, None, :])
        return torch.where(self.known[:, None, None], form, torch.nan)


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
        shapes = [
            torch.linalg.cholesky(class_covariance(part, tied, scale))
            for part, (scale, tied) in zip(parts, ties, strict=True)
        ]
        scales = [scale.expand(len(classes), -1) for scale, _ in ties]
        yield (
            classes,
            Whitening(
                torch.stack([part.mean for part in parts], 1).flatten(0, 1),
                torch.stack(shapes, 1).flatten(0, 1),
                torch.stack(scales, 1).flatten(0, 1),
                torch.stack([part.count > 0 for part in parts], 1).flatten(),
            ),
        )


def _parts(
    problem: Problem,
    side: Side,
    classes: range,
    weight: NDArray[np.float32] | None,
    kept: Moments | None,
) -> list[Moments]:
    moments = class_moments(problem, side, classes, weight) if kept is None else kept
    dim = (len(classes), problem.folds)
    return [without_fold(moments, dim, fold) for fold in range(problem.folds)]
