"""Streamed class moments and the whitening that trusted rows give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from lazaretto.sanitize.problem import stream

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lazaretto.sanitize.problem import Problem, Side


@dataclass(frozen=True, slots=True)
class Moments:
    """Moments of G groups of rows; those of disjoint groups merge exactly.

    Attributes:
        count: float64 (G,).
        mean: float64 (G, d); zero for an empty group.
        scatter: float64 (G, d, d), the sum of outer products of rows minus their group's mean.
    """

    count: torch.Tensor
    mean: torch.Tensor
    scatter: torch.Tensor

    def about(self, center: torch.Tensor) -> torch.Tensor:
        """Scatter about `center` (G, d) instead of the groups' own means."""
        gap = self.mean - center
        return self.scatter + self.count[:, None, None] * gap[:, :, None] * gap[:, None, :]


def class_moments(
    problem: Problem, side: Side, classes: range, weight: NDArray[np.float32] | None = None
) -> Moments:
    """Moments of every (class, fold) group of `classes`, in one pass over their rows.

    Rows are shifted by the first rows of their class before they are multiplied, so that float32
    products lose nothing to a large mean; sums are kept in float64.

    Args:
        problem: the layer.
        side: whose rows.
        classes: the block of classes.
        weight: non-negative (n,), a weight per row of `side`; default: 1.

    Returns:
        Moments with G = ``len(classes) * folds`` groups; ``count`` is the sum of weights.
    """
    d, folds = problem.width, problem.folds
    n_groups, offset = len(classes) * folds, classes.start * folds
    product = torch.zeros(n_groups, d, d, device=problem.device, dtype=torch.float64)
    total, shift = torch.zeros_like(product[:, 0]), torch.zeros_like(product[:, 0])
    count = torch.zeros_like(product[:, 0, 0])
    seen: set[int] = set()
    for chunk in stream(problem, side, classes):
        w = None if weight is None else torch.from_numpy(weight[chunk.positions]).to(chunk.x)
        for group, first, last in chunk.segments:
            g = group - offset
            x = chunk.x[first:last]
            if g not in seen:
                shift[g] = x[:64].mean(0)
                seen.add(g)
            x = x - shift[g].to(x.dtype)
            weighted = x if w is None else x * w[first:last, None]
            count[g] += last - first if w is None else w[first:last].sum(dtype=torch.float64)
            total[g] += weighted.sum(0)
            product[g] += weighted.T @ x
    mean = total / torch.where(count > 0, count, 1.0)[:, None]
    scatter = product - count[:, None, None] * mean[:, :, None] * mean[:, None, :]
    return Moments(count, torch.where(count[:, None] > 0, mean + shift, 0.0), scatter)


def merge(moments: Moments, dim: tuple[int, int]) -> Moments:
    """Merges groups laid out as ``dim = (classes, folds)`` over their folds (Chan et al. 1983)."""
    c, k = dim
    count, mean = moments.count.view(c, k), moments.mean.view(c, k, -1)
    n = count.sum(1)
    center = (count[:, :, None] * mean).sum(1) / torch.where(n > 0, n, 1.0)[:, None]
    spread = moments.about(center.repeat_interleave(k, 0)).view(c, k, *moments.scatter.shape[1:])
    return Moments(n, center, spread.sum(1))


def leave_one_out(moments: Moments, dim: tuple[int, int]) -> list[Moments]:
    """Class moments without each fold in turn: what a scorer of that fold may be fitted on.

    The fold's share is taken off the whole (Chan et al. 1983, backwards; in float64). With one
    fold, nothing is left out.
    """
    c, k = dim
    whole = merge(moments, dim)
    if k == 1:
        return [whole]
    parts = []
    for fold in range(k):
        count, mean, scatter = (t.view(c, k, *t.shape[1:])[:, fold] for t in _fields(moments))
        left = whole.count - count
        known = torch.where(left > 0, left, 1.0)
        center = (whole.count[:, None] * whole.mean - count[:, None] * mean) / known[:, None]
        gap = mean - center
        share = torch.where(left > 0, count * left / whole.count.clamp(min=1e-300), 0.0)
        rest = whole.scatter - scatter
        rest = torch.baddbmm(rest, (-share[:, None] * gap)[:, :, None], gap[:, None, :])
        parts.append(
            Moments(
                left,
                torch.where(left[:, None] > 0, center, 0.0),
                torch.where(left[:, None, None] > 0, rest, 0.0),
            )
        )
    return parts


def _fields(moments: Moments) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return moments.count, moments.mean, moments.scatter


def oas(scatter: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """Covariance (d, d) shrunk towards a multiple of the identity.

    Oracle approximating shrinkage: Chen, Wiesel, Eldar, Hero (2010), eq. 23, from second moments
    alone.
    """
    d = scatter.shape[-1]
    cov = scatter / count.clamp(min=1)
    mu = cov.diagonal().mean()
    alpha, square = cov.square().mean(), mu.square()
    gap = (count + 1) * (alpha - square / d)
    rho = torch.where(gap > 0, (alpha + square) / gap.clamp(min=1e-300), 1.0).clamp(0, 1)
    return (1 - rho) * cov + rho * mu * torch.eye(d, device=cov.device, dtype=cov.dtype)


def tied_covariance(
    scatter: torch.Tensor, count: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Feature scales (d,) and the shrunk within-class covariance (d, d) in units of them.

    Scales are floored at 1 % of their root mean square: a unit that is dead on trusted rows and
    alive on a poison must stand out, yet not divide by zero.
    """
    variance = scatter.diagonal() / count.clamp(min=1)
    scale = variance.clamp(min=0).maximum(1e-4 * variance.mean()).sqrt()
    scale = torch.where(scale > 1e-150, scale, 1.0)
    tied = oas(scatter / (scale[:, None] * scale[None, :]), count)
    return scale, torch.where(variance.mean() > 1e-300, tied, torch.eye(len(scale)).to(tied))


def class_covariance(moments: Moments, tied: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Covariance of each class (C, d, d) in units of `scale`, shrunk towards the tied one.

    The intensity minimises the expected squared error for a fixed target (Ledoit and Wolf 2003),
    with the sampling variance of a covariance entry taken as a Gaussian's. Few rows, or classes
    that vary alike: the tied one; many rows of a class that varies its own way: its own.
    """
    n = moments.count
    own = moments.scatter / ((n - 1).clamp(min=1)[:, None, None] * scale[:, None] * scale[None, :])
    trace = own.diagonal(dim1=1, dim2=2).sum(1)
    noise = (trace.square() + own.square().sum((1, 2))) / n.clamp(min=1)
    gap = (own - tied).square().sum((1, 2)).clamp(min=1e-300)
    # A singular estimate is never taken whole: the tied one keeps it positive definite.
    weight = torch.where(n > 1, (1 - noise / gap).clamp(0, 0.99), 0.0)[:, None, None]
    return weight * own + (1 - weight) * tied
