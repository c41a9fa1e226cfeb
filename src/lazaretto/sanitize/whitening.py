"""What a clean class looks like: its centre and covariance, without the fold that is judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from lazaretto.sanitize.linalg.triangular import congruence, inverse_factor, upper_product
from lazaretto.sanitize.moments import (
    class_covariance,
    class_moments,
    tied_covariance,
    without_fold,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.sanitize.layer_data import LayerData, Side
    from lazaretto.sanitize.moments import Moments


_KEPT_BYTES = 2**30


@dataclass(frozen=True, slots=True)
class Whitening:
    """Whitening of every (class, fold) group of a block of classes, fitted without that fold.

    Attributes:
        center: float64 (G, d).
        basis: (G, d, d), upper triangular, of the layer's type: ``(x - center) @ basis`` is white
            where clean.
        known: bool (G,), whether the class had a row to be fitted on.
    """

    center: torch.Tensor
    basis: torch.Tensor
    known: torch.Tensor

    def factor(self, white: torch.Tensor | None = None) -> torch.Tensor:
        """Upper triangular F (G, d, d) with ``|(x - center) F|^2`` the score; NaN where unknown.

        Args:
            white: upper triangular factors of forms in white coordinates; default: the identity,
                of squared Mahalanobis distances.
        """
        both = self.basis if white is None else upper_product(self.basis, white)
        if bool(self.known.all()):
            return both
        return torch.where(self.known[:, None, None], both, torch.nan)

    def whiten(self, second: torch.Tensor) -> torch.Tensor:
        """Second moments (G, d, d) about `center` in white coordinates: I where clean."""
        return congruence(second.to(self.basis.dtype), self.basis)


def make_whitening(
    center: torch.Tensor,
    covariance: torch.Tensor,
    scale: torch.Tensor,
    known: torch.Tensor,
    dtype: torch.dtype,
) -> Whitening:
    """Whitening by covariances (G, d, d) that are in units of feature scales (G, d)."""
    inverse = inverse_factor(covariance)
    basis = inverse.div_(scale[:, None, :]).to(dtype).mT.contiguous()
    return Whitening(center, basis, known)


def whitenings(layer: LayerData, side: Side) -> Iterator[tuple[range, Whitening]]:
    """Whitening of each block of classes, every fold's fitted on the rows that are not in the fold.

    Args:
        layer: the rows of one layer.
        side: the rows that count as clean.
    """
    k, d = layer.folds, layer.width
    blocks = list(layer.class_blocks())
    # Moments are taken once where all of them fit, else once more for each block.
    few = 8 * layer.n_classes * k * d**2 <= _KEPT_BYTES
    kept: list[Moments] = []
    scatter = torch.zeros(k, d, d, device=layer.device, dtype=torch.float64)
    degrees = torch.zeros_like(scatter[:, 0, 0])
    for classes in blocks:
        fit = without_fold(class_moments(layer, side, classes), k)
        scatter += fit.scatter.view(-1, k, d, d).sum(0)
        degrees += (fit.count.view(-1, k) - 1).clamp(min=0).sum(0)
        if few:
            kept.append(fit)
    ties = [tied_covariance(s, n) for s, n in zip(scatter, degrees, strict=True)]
    scale, tied = (torch.stack(parts) for parts in zip(*ties, strict=True))
    for i, classes in enumerate(blocks):
        fit = kept[i] if few else without_fold(class_moments(layer, side, classes), k)
        covariance = class_covariance(fit, tied, scale)
        scales = scale.repeat(len(classes), 1)
        yield classes, make_whitening(fit.mean, covariance, scales, fit.count > 0, layer.dtype)
