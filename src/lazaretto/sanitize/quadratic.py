"""Score rows about a centre by a factored quadratic form or a direction, one per class and fold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lazaretto.sanitize.layer_data import stream
from lazaretto.sanitize.linalg.triangular import squared_norms

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from lazaretto.sanitize.layer_data import LayerData, Side


def quadratic(
    layer: LayerData,
    side: Side,
    classes: range,
    *,
    center: torch.Tensor,
    factor: torch.Tensor,
    out: NDArray[np.float32],
) -> None:
    """Writes the squared norms of ``(x - center) @ factor`` of the rows of `classes` to `out`.

    Args:
        layer: the rows of one layer.
        side: whose rows.
        classes: the block of classes.
        center: (G, d) with G = ``len(classes) * folds``.
        factor: (G, d, d), upper triangular.
        out: (n,) of `side`.
    """
    center, factor = center.to(layer.dtype), factor.to(layer.dtype)
    score_rows(layer, side, classes, lambda g, x: squared_norms(x.sub_(center[g]), factor[g]), out)


def projected(
    layer: LayerData,
    side: Side,
    classes: range,
    *,
    center: torch.Tensor,
    direction: torch.Tensor,
    out: NDArray[np.float32],
) -> None:
    """Writes ``((x - center) . direction)^2`` of the rows of `classes` to `out`.

    Args:
        layer: the rows of one layer.
        side: whose rows.
        classes: the block of classes.
        center: (G, d) with G = ``len(classes) * folds``.
        direction: (G, d).
        out: (n,) of `side`.
    """
    middle = (center * direction).sum(1).to(layer.dtype)
    direction = direction.to(layer.dtype)
    score_rows(layer, side, classes, lambda g, x: (x @ direction[g]).sub_(middle[g]).square_(), out)


def score_rows(
    layer: LayerData,
    side: Side,
    classes: range,
    score: Callable[[int, torch.Tensor], torch.Tensor],
    out: NDArray[np.float32],
) -> None:
    """Writes ``score(group, rows)`` of the rows of `classes` to `out`, copied back once.

    Args:
        layer: the rows of one layer.
        side: whose rows.
        classes: the block of classes.
        score: of rows (n, d) of one group, counted from the block's first; may overwrite them.
        out: (n,) of `side`.
    """
    first, last = side.starts[[classes.start * layer.folds, classes.stop * layer.folds]]
    scores = torch.empty(int(last - first), device=layer.device, dtype=torch.float32)
    for chunk in stream(layer, side, classes):
        for group, begin, end in chunk.segments:
            where = slice(chunk.begin + begin, chunk.begin + end)
            scores[where] = score(group - classes.start * layer.folds, chunk.x[begin:end])
    out[side.order[first:last]] = scores.cpu().numpy()
