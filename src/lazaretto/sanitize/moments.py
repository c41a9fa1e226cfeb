"""Streamed class moments and the whitening that trusted rows give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from lazaretto.sanitize.problem import stream

if TYPE_CHECKING:
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


def class_moments(problem: Problem, side: Side, classes: range) -> Moments:
    """Moments of every (class, fold) group of `classes`, in one pass over their rows.

    Rows are shifted by the first rows of their class before they are multiplied, so that float32
    products lose nothing to a large mean; sums are kept in float64.

    Returns:
        Moments with G = ``len(classes) * folds`` groups.
    """
    d, folds = problem.width, problem.folds
    n_groups, offset = len(classes) * folds, classes.start * folds
    product = torch.zeros(n_groups, d, d, device=problem.device, dtype=torch.float64)
    total, shift = torch.zeros_like(product[:, 0]), torch.zeros_like(product[:, 0])
    count = torch.zeros_like(product[:, 0, 0])
    seen: set[int] = set()
    for chunk in stream(problem, side, classes):
        for group, first, last in chunk.segments:
            g = group - offset
            x = chunk.x[first:last]
            if g not in seen:
                shift[g] = x[:64].mean(0)
                seen.add(g)
            x = x - shift[g].to(x.dtype)
            count[g] += last - first
            total[g] += x.sum(0)
            product[g] += x.T @ x
    mean = total / count.clamp(min=1)[:, None]
    scatter = product - count[:, None, None] * mean[:, :, None] * mean[:, None, :]
    return Moments(count, mean + shift, scatter)


def merge(moments: Moments, dim: tuple[int, int]) -> Moments:
    """Merges groups laid out as ``dim = (classes, folds)`` over their folds (Chan et al. 1983)."""
    c, k = dim
    count, mean = moments.count.view(c, k), moments.mean.view(c, k, -1)
    n = count.sum(1)
    center = (count[:, :, None] * mean).sum(1) / n.clamp(min=1)[:, None]
    spread = moments.about(center.repeat_interleave(k, 0)).view(c, k, *moments.scatter.shape[1:])
    return Moments(n, center, spread.sum(1))


def without_fold(moments: Moments, dim: tuple[int, int], fold: int) -> Moments:
    """Class moments of all folds but one: what a scorer of that fold may be fitted on."""
    c, k = dim
    keep = [j for j in range(k) if j != fold] or [fold]
    index = (torch.arange(c)[:, None] * k + torch.tensor(keep)[None, :]).flatten()
    index = index.to(moments.count.device)
    part = Moments(moments.count[index], moments.mean[index], moments.scatter[index])
    return merge(part, (c, len(keep)))


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
    floor = 1e-4 * variance.mean()
    scale = variance.clamp(min=torch.finfo(variance.dtype).tiny).maximum(floor).sqrt()
    scale = torch.where(scale > 1e-150, scale, torch.ones_like(scale))
    return scale, oas(scatter / (scale[:, None] * scale[None, :]), count)


def class_covariance(moments: Moments, tied: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Covariance of each class (C, d, d) in units of `scale`, shrunk towards the tied one.

    A class of n rows keeps the share ``n / (n + d)`` of its own covariance: few rows cannot say
    how d features vary together, many can.
    """
    n, d = moments.count, tied.shape[-1]
    own = moments.scatter / ((n - 1).clamp(min=1)[:, None, None] * scale[:, None] * scale[None, :])
    trace = own.diagonal(dim1=1, dim2=2).sum(1)
    noise = (trace.square() + own.square().sum((1, 2))) / n.clamp(min=1)
    gap = (own - tied).square().sum((1, 2)).clamp(min=1e-300)
    weight = torch.where(n > 1, (1 - noise / gap).clamp(0, 1), 0.0)[:, None, None]
    return weight * own + (1 - weight) * tied
