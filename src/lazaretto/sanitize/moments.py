"""Streamed class moments and the whitening that trusted rows give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from lazaretto.sanitize.linalg.triangular import add_gram, mirror
from lazaretto.sanitize.streaming import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lazaretto.sanitize.layer_data import LayerData, Side
    from lazaretto.sanitize.streaming import Stack

_MIDDLE_OF = 64


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
        return torch.baddbmm(self.scatter, (self.count[:, None] * gap)[:, :, None], gap[:, None, :])


class Sums:
    """Running sums of groups of rows, of which `moments` are made.

    Rows come shifted by a point near their group's mean, so that float32 products lose nothing to a
    large mean; sums over chunks are kept in float64.
    """

    def __init__(self, groups: int, width: int, device: torch.device) -> None:
        """Starts with nothing."""
        self.product = torch.zeros(groups, width, width, device=device, dtype=torch.float64)
        self.total = torch.zeros_like(self.product[:, 0])
        self.count = torch.zeros_like(self.product[:, 0, 0])

    def add(self, groups: slice, x: torch.Tensor, weight: torch.Tensor | None = None) -> None:
        """Adds shifted rows of consecutive groups.

        Args:
            groups: S of them.
            x: (S, m, d), which may be overwritten; zero where a group has no further row.
            weight: non-negative (S, m), zero where there is no row; default: 1 for all of them.
        """
        if weight is None:
            self.count[groups] += x.shape[1]
            self.total[groups] += x.sum(1)
        else:
            self.count[groups] += weight.sum(1, dtype=torch.float64)
            self.total[groups] += (weight[:, None, :] @ x)[:, 0]
            x = x.mul_(weight.sqrt()[:, :, None])
        add_gram(self.product[groups], x)

    def moments(self, shift: torch.Tensor) -> Moments:
        """Moments of the groups; `shift` (G, d) is added back to their means. Ends the sums."""
        count = self.count[:, None]
        mean = self.total / torch.where(count > 0, count, 1.0)
        scatter = mirror(self.product, corners=True)
        scatter.baddbmm_((-count * mean)[:, :, None], mean[:, None, :])
        return Moments(self.count, torch.where(count > 0, mean + shift, 0.0), scatter)


def class_moments(
    layer: LayerData, side: Side, classes: range, weight: NDArray[np.float32] | None = None
) -> Moments:
    """Moments of every (class, fold) group of `classes`, in one pass over their rows.

    Args:
        layer: the rows of one layer.
        side: whose rows.
        classes: the block of classes.
        weight: non-negative (n,), a weight per row of `side`; default: 1.

    Returns:
        Moments with G = ``len(classes) * folds`` groups; ``count`` is the sum of weights.
    """
    offset = classes.start * layer.folds
    sums = Sums(len(classes) * layer.folds, layer.width, layer.device)
    shift = torch.zeros_like(sums.total)
    seen: set[int] = set()
    for chunk in stream(layer, side, classes):
        w = None
        if weight is not None:
            # The last one stands for rows that are not there.
            w = torch.from_numpy(np.append(weight[chunk.positions], 0)).to(chunk.x)
        for stack in chunk.stacks():
            groups = slice(stack.groups.start - offset, stack.groups.stop - offset)
            fresh = slice(groups.start + (groups.start in seen), groups.stop)
            if fresh.start < fresh.stop:
                shift[fresh] = _middle(stack)[fresh.start - groups.start :]
                seen.update(range(fresh.start, fresh.stop))
            x = stack.x.sub_(shift[groups, None].to(stack.x.dtype))
            if stack.real is not None:
                x.mul_(stack.real[:, :, None])
            sums.add(groups, x, _weights(stack, w))
    return sums.moments(shift)


def _middle(stack: Stack) -> torch.Tensor:
    """A point (S, d) amid each group's rows."""
    # Not the mean: one wild row would carry it away, and with it the others' digits.
    some = stack.x[:, :_MIDDLE_OF]
    if stack.real is None:
        return some.median(1).values
    here = stack.real[:, :_MIDDLE_OF, None]
    return some.masked_fill(~here, torch.nan).nanmedian(1).values


def _weights(stack: Stack, weight: torch.Tensor | None) -> torch.Tensor | None:
    """Of the rows of a stack (S, m), of those of its chunk and one more; None: all 1."""
    if weight is None:
        return None if stack.real is None else stack.real.to(stack.x.dtype)
    if stack.places is not None:
        return weight[stack.places]
    s, m, _ = stack.x.shape
    return weight[stack.first : stack.first + s * m].view(s, m)


def merge(moments: Moments, folds: int) -> Moments:
    """Merges groups that follow each other by `folds` (Chan et al. 1983): classes from folds."""
    if folds == 1:
        return moments
    count = moments.count.view(-1, folds)
    mean = moments.mean.view(*count.shape, -1)
    n = count.sum(1)
    center = (count[:, :, None] * mean).sum(1) / torch.where(n > 0, n, 1.0)[:, None]
    gap = mean - center[:, None]
    scatter = moments.scatter.view(*mean.shape, -1).sum(1)
    scatter.baddbmm_((count[:, :, None] * gap).mT, gap)
    return Moments(n, center, scatter)


def leave_one_out(moments: Moments, dim: tuple[int, int]) -> list[Moments]:
    """`without_fold`, fold by fold, of groups laid out as ``dim = (classes, folds)``."""
    _, k = dim
    left = without_fold(moments, k)
    return [Moments(*(field[fold::k] for field in _fields(left))) for fold in range(k)]


def without_fold(moments: Moments, folds: int) -> Moments:
    """Class moments without each fold in turn: what a scorer of that fold may be fitted on.

    The fold's share is taken off the whole (Chan et al. 1983, backwards; in float64). With one
    fold, nothing is left out.

    Returns:
        Moments of as many groups, in the same order; zero where nothing is left.
    """
    if folds == 1:
        return moments
    if folds == 2:
        swapped = (t.view(-1, 2, *t.shape[1:]).flip(1).flatten(0, 1) for t in _fields(moments))
        return Moments(*swapped)
    whole = merge(moments, folds)
    count = moments.count.view(-1, folds)
    mean = moments.mean.view(*count.shape, -1)
    left = whole.count[:, None] - count
    known = torch.where(left > 0, left, 1.0)[:, :, None]
    center = (whole.count[:, None, None] * whole.mean[:, None] - count[:, :, None] * mean) / known
    center = torch.where(left[:, :, None] > 0, center, 0.0)
    gap = (mean - center).flatten(0, 1)
    share = (count * left / whole.count[:, None].clamp(min=1e-300)).flatten()
    scatter = (whole.scatter[:, None] - moments.scatter.view(*mean.shape, -1)).flatten(0, 1)
    scatter.baddbmm_((-share[:, None] * gap)[:, :, None], gap[:, None, :])
    scatter[left.flatten() <= 0] = 0.0
    return Moments(left.flatten(), center.flatten(0, 1), scatter)


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
    """Covariances (G, d, d) in units of `scale`, shrunk towards the tied ones.

    The intensity minimises the expected squared error for a fixed target (Ledoit and Wolf 2003),
    with the sampling variance of a covariance entry taken as a Gaussian's. Few rows, or classes
    that vary alike: the tied one; many rows of a class that varies its own way: its own.

    Args:
        moments: of G groups.
        tied: (d, d), or (k, d, d) of which every k-th group has the same.
        scale: (d,) or (k, d), alike.
    """
    n, d = moments.count, moments.mean.shape[1]
    tied, unit = tied.view(-1, d, d), 1 / scale.view(-1, d)
    shape = (-1, len(tied), d, d)
    degrees = (n - 1).clamp(min=1).view(-1, len(tied), 1, 1)
    own = moments.scatter.view(shape) * unit[:, None, :]
    own *= unit[:, :, None] / degrees
    square = torch.linalg.vecdot(own.flatten(2), own.flatten(2))
    cross = torch.linalg.vecdot(own.flatten(2), tied.flatten(1))
    noise = (own.diagonal(dim1=2, dim2=3).sum(2).square() + square) / n.clamp(min=1).view(
        -1, len(tied)
    )
    gap = square - 2 * cross + torch.linalg.vecdot(tied.flatten(1), tied.flatten(1))
    # A singular estimate is never taken whole: the tied one keeps it positive definite.
    weight = torch.where(
        n.view(-1, len(tied)) > 1, (1 - noise / gap.clamp(min=1e-300)).clamp(0, 0.99), 0.0
    )
    return own.lerp_(tied.expand_as(own), 1 - weight[:, :, None, None]).flatten(0, 1)
