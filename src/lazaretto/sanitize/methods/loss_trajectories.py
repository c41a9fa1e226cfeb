"""Loss trajectories: do the rows of a class fall into two ways of being learned?

Trajectories of log loss are clustered class by class (2-means on their leading components). Rows
with a trigger are learned at one time, together, whether early or late; hard rows one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from lazaretto.sanitize.methods.activation_clustering import silhouette, two_means
from lazaretto.sanitize.scores import Scores

if TYPE_CHECKING:
    from lazaretto.sanitize.layer_data import LayerData

_COMPONENTS = 4


def loss_trajectories(layer: LayerData) -> Scores:
    """Scores every row by how much nearer it is to the smaller cluster of its class, in 0..1.

    Rows of one fold are judged by clusters of the others.
    """
    train, trusted = layer.empty_scores()
    detail: dict[int, str] = {}
    half = layer.width // 2
    for c in range(layer.n_classes):
        rows = layer.rows(layer.train, c)[:, :half]
        fold = layer.train.fold[layer.train.members(c, layer.folds)]
        facts = []
        for k in range(layer.folds):
            fit = rows[torch.from_numpy((fold != k) | (layer.folds == 1))]
            if len(fit) < 4:
                continue
            center = fit.mean(0)
            _, _, axes = torch.linalg.svd((fit - center).double(), full_matrices=False)
            basis = axes[: min(_COMPONENTS, half)].T.to(rows.dtype)
            points = (fit - center) @ basis
            means, small = two_means(points)
            facts.append((float(small.double().mean()), silhouette(points, small)))
            for side, out in ((layer.train, train), (layer.trusted, trusted)):
                if side is None or out is None:
                    continue
                members = side.members(c, layer.folds)
                held_out = np.flatnonzero(side.fold[members] == k)
                placed = (layer.rows(side, c)[held_out][:, :half] - center) @ basis
                far, near = torch.cdist(placed, means).unbind(1)
                share = far / (far + near).clamp(min=1e-30)
                out[members[held_out]] = share.float().cpu().numpy()
        if facts:
            size, apart = np.mean(facts, 0)
            detail[c] = f"loss trajectories: smaller group {size:.1%}, silhouette {apart:.2f}"
    return Scores(train, trusted, view="split", detail=detail)
