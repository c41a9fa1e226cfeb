"""Score rows about a centre by a factored quadratic form or a direction, one per class and fold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lazaretto.sanitize.linalg.triangular import squared_norms
from lazaretto.sanitize.streaming import stream

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from lazaretto.sanitize.layer_data import LayerData, Side
    from lazaretto.sanitize.streaming import Stack


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

    def score(g: slice, stack: Stack) -> torch.Tensor:
        return squared_norms(stack.x.sub_(center[g, None]), factor[g])

    score_rows(layer, side, classes, score, out)


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

    def score(g: slice, stack: Stack) -> torch.Tensor:
        along = (stack.x @ direction[g, :, None])[:, :, 0]
        return along.sub_(middle[g, None]).square_()

    score_rows(layer, side, classes, score, out)


def score_rows(
    layer: LayerData,
    side: Side,
    classes: range,
    score: Callable[[slice, Stack], torch.Tensor],
    out: NDArray[np.float32],
) -> None:
    """Writes ``score(groups, stack)`` of the rows of `classes` to `out`, copied back once.

    Args:
        layer: the rows of one layer.
        side: whose rows.
        classes: the block of classes.
        score: scores (S, m) of the rows (S, m, d) of a stack, which it may overwrite, given the
            groups, counted from the block's first. What it says where there is no row is dropped.
        out: (n,) of `side`.
    """
    first, last = side.starts[[classes.start * layer.folds, classes.stop * layer.folds]]
    scores = torch.empty(int(last - first), device=layer.device, dtype=torch.float32)
    offset = classes.start * layer.folds
    for chunk in stream(layer, side, classes):
        # One more, for rows that are not there.
        found = torch.empty(len(chunk.x) + 1, device=layer.device, dtype=torch.float32)
        for stack in chunk.stacks():
            groups = slice(stack.groups.start - offset, stack.groups.stop - offset)
            value = score(groups, stack).float()
            if stack.places is None:
                found[stack.first : stack.first + value.numel()] = value.flatten()
            else:
                found[stack.places] = value
        scores[chunk.begin : chunk.begin + len(chunk.x)] = found[:-1]
    out[side.order[first:last]] = scores.cpu().numpy()
