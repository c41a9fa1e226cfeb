"""Gram deviations: products of pairs of units that leave the range they have on clean rows.

Beatrix: Ma, Wang, Sun, Wang, Wang, Huang (2023), "The 'Beatrix' resurrections: robust backdoor
detection via Gram matrices". Of a pooled activation every order of the Gram matrix is the same
product ``f_i f_j``, so one is taken. Bounds are the class's median plus or minus ten median
absolute deviations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from lazaretto.sanitize.scores import Scores

if TYPE_CHECKING:
    from lazaretto.sanitize.layer_data import LayerData

_UNITS, _MADS, _FIT_ROWS = 64, 10.0, 500


def gram(layer: LayerData) -> Scores:
    """Scores every row by the summed relative overshoot of its products beyond the bounds.

    Bounds are fitted on clean rows of other folds, at most 500 of a class. Of wider layers, the
    128 units that vary most are taken, for the products grow with the square.
    """
    base = layer.train if layer.trusted is None else layer.trusted
    train, trusted = layer.empty_scores()
    for c in range(layer.n_classes):
        rows = layer.rows(base, c)
        folds = base.fold[base.members(c, layer.folds)]
        for fold in range(layer.folds):
            fit = rows[np.flatnonzero((folds != fold) | (layer.folds == 1))]
            fit = fit[:: max(1, -(-len(fit) // _FIT_ROWS))]
            if len(fit) < 2:
                continue
            units = fit.var(0).topk(min(_UNITS, fit.shape[1])).indices
            low, high = _bounds(fit[:, units])
            for side, out in ((layer.train, train), (layer.trusted, trusted)):
                if side is None or out is None:
                    continue
                members = side.members(c, layer.folds)
                mine = np.flatnonzero(side.fold[members] == fold)
                x = layer.rows(side, c)[mine][:, units]
                out[members[mine]] = deviation(x, low, high).float().cpu().numpy()
    return Scores(train, trusted)


def _bounds(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    low = torch.zeros(rows.shape[1], rows.shape[1]).to(rows)
    high = torch.zeros_like(low)
    columns = rows.T.contiguous()  # medians along contiguous memory
    for i in range(len(columns)):
        products = columns[i] * columns[i:]
        median = products.median(1).values
        spread = (products - median[:, None]).abs().median(1).values
        low[i, i:] = median - _MADS * spread
        high[i, i:] = median + _MADS * spread
    return low, high


def deviation(rows: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Summed overshoot (n,) of ``f_i f_j`` (i <= j) beyond bounds, relative to the bounds' size.

    Args:
        rows: (n, d).
        low: (d, d), upper triangle.
        high: (d, d), upper triangle.
    """
    total = torch.zeros(len(rows), device=rows.device, dtype=rows.dtype)
    floor = 1e-2 * torch.maximum(low.abs(), high.abs()).mean().clamp(min=1e-30)
    for i in range(rows.shape[1]):
        products = rows[:, i : i + 1] * rows[:, i:]
        lower, upper = low[i, i:], high[i, i:]
        over = (products - upper).clamp(min=0) / upper.abs().maximum(floor)
        under = (lower - products).clamp(min=0) / lower.abs().maximum(floor)
        total += (over + under).sum(1)
    return total
