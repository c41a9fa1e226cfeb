"""Deep k-NN: does a row's label agree with the labels around it?

Peri, Gupta, Huang, Fowl, Zhu, Feizi, Goldstein, Dickerson (2020), "Deep k-NN defense against
clean-label data poisoning attacks". Neighbours are trusted rows, or training rows of other folds
where there are none. It sees label noise and backdoors that did not take; a backdoor that took, it
does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from lazaretto.sanitize.scores import Scores
from lazaretto.sanitize.streaming import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lazaretto.sanitize.layer_data import LayerData, Side

_BASE_ROWS = 20_000
"""Rows that neighbours are looked for among, a sample of all: so that time grows with the rows and
not with their square, and poisons do not find one another."""

_QUERY = 2048


def deep_knn(layer: LayerData, k: int | None = None) -> Scores:
    """Scores every row by the weighted share of its nearest neighbours with another label, in 0..1.

    Rows are compared by the angle between them. Neighbours count by closeness, and by the inverse
    of their class's size, so that a rare class is not outvoted.

    Args:
        layer: the rows of one layer.
        k: neighbours; default: a quarter of the smallest class, within 10..50.
    """
    base = layer.train if layer.trusted is None else layer.trusted
    train, trusted = layer.empty_scores()
    sizes = np.bincount(base.label, minlength=layer.n_classes)
    if k is None:
        k = int(np.clip(sizes[sizes > 0].min(initial=40) // 4, 10, 50))
    for fold in range(layer.folds):
        kept = np.flatnonzero((base.fold != fold) | (layer.folds == 1))
        kept = kept[:: max(1, -(-len(kept) // _BASE_ROWS))]
        if not len(kept):
            continue
        rows = _unit(torch.from_numpy(base.rows[kept]).to(layer.device, layer.dtype))
        labels = torch.from_numpy(base.label[kept]).to(layer.device)
        weight = 1.0 / labels.bincount(minlength=layer.n_classes).clamp(min=1).to(rows)
        for side, out in ((layer.train, train), (layer.trusted, trusted)):
            if side is not None and out is not None:
                neighbours = _Neighbours(rows, labels, weight, min(k, len(kept)))
                _vote(layer, side, fold, neighbours, out)
    return Scores(train, trusted, view="others")


class _Neighbours(NamedTuple):
    rows: torch.Tensor
    labels: torch.Tensor
    weight: torch.Tensor
    k: int


def _vote(
    layer: LayerData,
    side: Side,
    fold: int,
    base: _Neighbours,
    out: NDArray[np.float32],
) -> None:
    for chunk in stream(layer, side, range(layer.n_classes)):
        mine = np.flatnonzero(side.fold[chunk.positions] == fold)
        for first in range(0, len(mine), _QUERY):
            part = mine[first : first + _QUERY]
            positions = chunk.positions[part]
            top = (_unit(chunk.x[part]) @ base.rows.T).topk(base.k, dim=1)
            labels = base.labels[top.indices]
            votes = (1 + top.values).clamp(min=1e-6) * base.weight[labels]
            own = torch.from_numpy(side.label[positions]).to(labels)
            other = votes * (labels != own[:, None])
            out[positions] = (other.sum(1) / votes.sum(1)).float().cpu().numpy()


def _unit(rows: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(rows, dim=1, eps=1e-30)
