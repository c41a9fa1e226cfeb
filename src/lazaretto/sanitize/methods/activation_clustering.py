"""Activation clustering: do the rows of a class fall into two groups, one of them small and apart?

Chen, Carvalho, Baracaldo, Ludwig, Edwards, Lee, Molloy, Srivastava (2018), "Detecting backdoor
attacks on deep neural networks by activation clustering": ten principal components, 2-means,
relative size and silhouette. The paper's fixed cut-offs fire on natural sub-groups; here they are
only reported, and the decision is the calibrated one of all methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from lazaretto.sanitize.linalg.krylov import same_way
from lazaretto.sanitize.scores import Scores

if TYPE_CHECKING:
    from collections.abc import Callable

    from lazaretto.sanitize.layer_data import LayerData

_COMPONENTS, _STEPS, _SAMPLE = 10, 50, 2000


def activation_clustering(layer: LayerData) -> Scores:
    """Scores every row by how much nearer it is to the smaller cluster, in 0..1."""
    return nearer_to_smaller(
        layer, _components, "activation clusters: smaller one {size:.1%}, silhouette {apart:.2f}"
    )


def nearer_to_smaller(
    layer: LayerData,
    components: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
    told: str,
    *,
    width: int | None = None,
) -> Scores:
    """Scores every row by how much nearer it is to the smaller of two clusters of its class.

    Rows of one fold are judged by clusters of the others.

    Args:
        layer: rows of all classes.
        components: from rows (n, width) to their center (width,) and axes (width, k).
        told: what is said of a class, with places for `size` and `apart`.
        width: only so many of the first columns are looked at; None: all.

    Returns:
        Shares in 0..1.
    """
    train, trusted = layer.empty_scores()
    detail: dict[int, str] = {}
    for c in range(layer.n_classes):
        rows = layer.rows(layer.train, c)[:, :width]
        fold = layer.train.fold[layer.train.members(c, layer.folds)]
        facts = []
        for k in range(layer.folds):
            fit = rows[torch.from_numpy((fold != k) | (layer.folds == 1))]
            if len(fit) < 4:
                continue
            center, basis = components(fit)
            points = (fit - center) @ basis
            means, small = two_means(points)
            facts.append((float(small.double().mean()), silhouette(points, small)))
            for side, out in ((layer.train, train), (layer.trusted, trusted)):
                if side is None or out is None:
                    continue
                members = side.members(c, layer.folds)
                held_out = np.flatnonzero(side.fold[members] == k)
                projected = (layer.rows(side, c)[held_out][:, :width] - center) @ basis
                far, near = torch.cdist(projected, means).unbind(1)
                share = far / (far + near).clamp(min=1e-30)
                out[members[held_out]] = share.float().cpu().numpy()
        if facts:
            size, apart = np.mean(facts, 0)
            detail[c] = told.format(size=size, apart=apart)
    return Scores(train, trusted, view="split", detail=detail)


def _components(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    center = rows.mean(0)
    centered = rows - center
    vectors = torch.linalg.eigh((centered.T @ centered).double()).eigenvectors
    axes = same_way(vectors.mT[-_COMPONENTS:].flip(0))
    return center, axes.mT.to(rows.dtype)


def two_means(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """2-means by Lloyd's algorithm, the best of deterministic starts along the leading components.

    Returns:
        means (2, k), larger cluster first, and bool (n,), rows of the smaller cluster.
    """
    best: tuple[float, torch.Tensor, torch.Tensor] | None = None
    for axis in range(min(3, points.shape[1])):
        for quantile in (0.5, 0.95, 0.05):
            cut = points[:, axis].double().quantile(quantile).to(points.dtype)
            side = points[:, axis] > cut
            for _ in range(_STEPS):
                if side.all() or not side.any():
                    break
                means = torch.stack([points[~side].mean(0), points[side].mean(0)])
                distance = torch.cdist(points, means)
                moved = distance[:, 1] < distance[:, 0]
                if bool((moved == side).all()):
                    break
                side = moved
            if side.all() or not side.any():
                continue
            means = torch.stack([points[~side].mean(0), points[side].mean(0)])
            inertia = float(torch.cdist(points, means).square().min(1).values.sum())
            if best is None or inertia < best[0]:
                best = (inertia, means, side)
    if best is None:
        nowhere = torch.zeros(len(points), dtype=torch.bool, device=points.device)
        return points.mean(0).expand(2, -1), nowhere
    _, means, side = best
    twice = 2 * int(side.sum())
    # Of two halves, the one without the first row is the smaller: not the one that came out so.
    if twice > len(side) or (twice == len(side) and bool(side[0])):
        return means.flip(0), ~side
    return means, side


def silhouette(points: torch.Tensor, side: torch.Tensor) -> float:
    """Mean silhouette of two clusters on at most 2000 evenly spaced rows (Rousseeuw 1987)."""
    step = max(1, -(-len(points) // _SAMPLE))
    points, side = points[::step], side[::step]
    sizes = torch.stack([(~side).sum(), side.sum()])
    if int(sizes.min()) < 2:
        return 0.0
    distance = torch.cdist(points, points)
    sums = torch.stack([distance[:, ~side].sum(1), distance[:, side].sum(1)], 1)
    own = side.long()
    index = torch.arange(len(points), device=points.device)
    a = sums[index, own] / (sizes[own] - 1)
    b = sums[index, 1 - own] / sizes[1 - own]
    return float(((b - a) / torch.maximum(a, b).clamp(min=1e-30)).mean())
