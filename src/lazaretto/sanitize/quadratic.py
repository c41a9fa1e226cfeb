"""Score rows about a centre by a quadratic form or a direction, one per class and fold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lazaretto.sanitize.problem import stream

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lazaretto.sanitize.problem import Problem, Side


def quadratic(
    problem: Problem,
    side: Side,
    classes: range,
    *,
    center: torch.Tensor,
    form: torch.Tensor,
    out: NDArray[np.float32],
) -> None:
    """Writes ``(x - center)' form (x - center)`` of the rows of `classes` to `out`.

    Args:
        problem: the layer.
        side: whose rows.
        classes: the block of classes.
        center: (G, d) with G = ``len(classes) * folds``.
        form: (G, d, d), symmetric.
        out: (n,) of `side`.
    """
    offset = classes.start * problem.folds
    center, form = center.to(problem.dtype), form.to(problem.dtype)
    for chunk in stream(problem, side, classes):
        scores = torch.empty(len(chunk.positions), device=problem.device, dtype=problem.dtype)
        for group, first, last in chunk.segments:
            x = chunk.x[first:last] - center[group - offset]
            scores[first:last] = (x @ form[group - offset]).mul_(x).sum(1)
        out[chunk.positions] = scores.float().cpu().numpy()


def projected(
    problem: Problem,
    side: Side,
    classes: range,
    *,
    center: torch.Tensor,
    direction: torch.Tensor,
    out: NDArray[np.float32],
) -> None:
    """Writes ``((x - center) . direction)^2`` of the rows of `classes` to `out`.

    Args:
        problem: the layer.
        side: whose rows.
        classes: the block of classes.
        center: (G, d) with G = ``len(classes) * folds``.
        direction: (G, d).
        out: (n,) of `side`.
    """
    offset = classes.start * problem.folds
    middle = (center * direction).sum(1).to(problem.dtype)
    direction = direction.to(problem.dtype)
    for chunk in stream(problem, side, classes):
        scores = torch.empty(len(chunk.positions), device=problem.device, dtype=problem.dtype)
        for group, first, last in chunk.segments:
            g = group - offset
            scores[first:last] = (chunk.x[first:last] @ direction[g] - middle[g]).square_()
        out[chunk.positions] = scores.float().cpu().numpy()
