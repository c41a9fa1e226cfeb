"""Score rows by a quadratic form about a centre, one form per class and fold."""

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
