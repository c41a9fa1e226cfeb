"""Loss trajectories: do the rows of a class fall into two ways of being learned?

Trajectories of log loss are clustered class by class (2-means on their leading components). Rows
with a trigger are learned at one time, together, whether early or late; hard rows one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lazaretto.sanitize.linalg.krylov import same_way
from lazaretto.sanitize.methods.activation_clustering import nearer_to_smaller

if TYPE_CHECKING:
    from lazaretto.sanitize.layer_data import LayerData
    from lazaretto.sanitize.scores import Scores

_COMPONENTS = 4


def loss_trajectories(layer: LayerData) -> Scores:
    """Scores every row by how much nearer it is to the smaller cluster of its class, in 0..1.

    Rows of one fold are judged by clusters of the others.
    """
    told = "loss trajectories: smaller group {size:.1%}, silhouette {apart:.2f}"
    return nearer_to_smaller(layer, _components, told, width=layer.width // 2)


def _components(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    center = rows.mean(0)
    _, _, axes = torch.linalg.svd((rows - center).double(), full_matrices=False)
    return center, same_way(axes[:_COMPONENTS]).T.to(rows.dtype)
