"""What the clean rows of a class look like: from trusted rows, or from the bulk of the class."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from lazaretto.sanitize.moments import class_covariance, class_moments, merge, tied_covariance
from lazaretto.sanitize.quadratic import quadratic, score_rows
from lazaretto.sanitize.whitening import Whitening, make_whitening, whitenings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from lazaretto.sanitize.moments import Moments
    from lazaretto.sanitize.problem import Problem, Side

KEEP = 0.7
"""Share of a class that its own covariance rests on when there are no trusted rows; up to a third
of the class may be poison. Chosen on models trained on synthetic glyphs and digits."""

TAMED, BOUND = 0.995, 10.0
"""A row counts in full up to `BOUND` times the root mean square of the gaps from the median of the
own class, over the `TAMED` of all rows that lie nearest in each feature. Rows of real networks
hardly ever pass it; without it one wild row would be all that the other classes have in common."""

_STEPS = 4
_MEDIAN_ROWS = 20_000
_COLUMNS = 256
_LOST = 1e-6


class Clean(NamedTuple):
    """A block of classes with what stands for their clean rows.

    Attributes:
        classes: the block.
        white: their whitening.
        side: the side that `keep` indexes.
        keep: bool (rows of side,), the rows that count as clean; None: all.
    """

    classes: range
    white: Whitening
    side: Side
    keep: NDArray[np.bool_] | None


def clean_whitenings(problem: Problem) -> Iterator[Clean]:
    """Whitening of each block of classes, by trusted rows or by the bulk of each class.

    Without trusted rows: concentration steps as in FastMCD (Rousseeuw and Van Driessen 1999) from
    one deterministic start, the coordinate-wise median of the class and the covariance that the
    *other* classes have in common, where a poison of this class does not show. The covariance is
    the mean of that and of the kept rows' own. Rows far beyond what networks give have bounded
    weight throughout. It is not cross-fitted.
    """
    if problem.trusted is not None:
        for classes, white in whitenings(problem, problem.trusted):
            yield Clean(classes, white, problem.trusted, None)
        return
    middle = torch.cat([_medians(problem, classes) for classes in problem.class_blocks()])
    weight = bounded_weight(problem, middle)
    total, degrees = _pooled(problem, weight)
    for classes in problem.class_blocks():
        yield _concentrate(problem, classes, middle, weight, total, degrees)


def _pooled(
    problem: Problem, weight: NDArray[np.float32], without: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scatter (d, d) within classes and its degrees of freedom, of all classes or all but one."""
    total = torch.zeros(problem.width, problem.width, device=problem.device, dtype=torch.float64)
    degrees = torch.zeros((), device=problem.device, dtype=torch.float64)
    for classes in problem.class_blocks():
        moments = _by_class(problem, classes, weight)
        for c, label in enumerate(classes):
            if label != without:
                total += moments.scatter[c]
                degrees += (moments.count[c] - 1).clamp(min=0)
    return total, degrees


def _concentrate(
    problem: Problem,
    classes: range,
    middle: torch.Tensor,
    weight: NDArray[np.float32],
    total: torch.Tensor,
    degrees: torch.Tensor,
) -> Clean:
    everything = _by_class(problem, classes, weight)
    ties = []
    for c, label in enumerate(classes):
        scatter = total - everything.scatter[c]
        others = degrees - (everything.count[c] - 1).clamp(min=0)
        if bool(others < 1):
            scatter, others = total, degrees
        elif bool(total.diagonal().max() * _LOST > scatter.diagonal().mean()):
            # This class dwarfs the others: what is left of a difference would be rounding.
            scatter, others = _pooled(problem, weight, label)
        ties.append(tied_covariance(scatter, others))
    scale = torch.stack([scale for scale, _ in ties])
    tied = torch.stack([shape for _, shape in ties])
    center, shape = middle[classes.start : classes.stop], tied
    sizes = problem.train.counts(problem.folds).sum(1)
    keep = np.zeros(len(problem.train.label), bool)
    far, _ = problem.empty_scores()
    for _ in range(_STEPS):
        white = _whitening(problem, everything, center, shape, scale)
        quadratic(
            problem, problem.train, classes, center=white.center, factor=white.factor(), out=far
        )
        for c in classes:
            members = problem.train.members(c, problem.folds)
            keep[members] = False
            count = int(np.ceil(KEEP * sizes[c]))
            keep[members[np.argsort(far[members], kind="stable")[:count]]] = True
        kept = _by_class(problem, classes, keep * weight)
        center = kept.mean
        shape = torch.cat(
            [
                class_covariance(_one(kept, c), tied[c], scale[c]) + tied[c]
                for c in range(len(classes))
            ]
        )
        shape = shape / 2
    return Clean(
        classes, _whitening(problem, everything, center, shape, scale), problem.train, keep
    )


def _whitening(
    problem: Problem,
    moments: Moments,
    center: torch.Tensor,
    shape: torch.Tensor,
    scale: torch.Tensor,
) -> Whitening:
    white = make_whitening(center, shape, scale, moments.count > 0, problem.dtype)
    k = problem.folds
    return Whitening(
        white.center.repeat_interleave(k, 0),
        white.basis.repeat_interleave(k, 0),
        white.known.repeat_interleave(k, 0),
    )


def _by_class(problem: Problem, classes: range, weight: NDArray[np.float32] | None) -> Moments:
    moments = class_moments(problem, problem.train, classes, weight)
    return merge(moments, problem.folds)


def _one(moments: Moments, c: int) -> Moments:
    part = slice(c, c + 1)
    return type(moments)(moments.count[part], moments.mean[part], moments.scatter[part])


def bounded_weight(problem: Problem, middle: torch.Tensor) -> NDArray[np.float32]:
    """Weights (n,) that bound every row's share of every feature's scatter."""
    side = problem.train
    step = max(1, len(side.label) // _MEDIAN_ROWS)
    sample = side.order[::step]
    rows = torch.from_numpy(side.rows[sample]).to(problem.device)
    label = torch.from_numpy(side.label[sample]).to(problem.device)
    squares = []
    # Some columns at a time: in float64, wide rows would take gigabytes.
    for begin in range(0, problem.width, _COLUMNS):
        columns = slice(begin, begin + _COLUMNS)
        gaps = (rows[:, columns].double() - middle[label, columns]).square()
        nearest = gaps <= gaps.kthvalue(max(1, int(TAMED * len(gaps))), dim=0).values
        squares.append((gaps * nearest).sum(0) / nearest.sum(0))
    scale = torch.cat(squares).sqrt()
    # A unit that is dead on nearly all rows still has some scale.
    scale = scale.maximum(1e-2 * scale.square().mean().sqrt()).clamp(min=1e-30)
    ratio, _ = problem.empty_scores()
    centers, unit = middle.to(problem.dtype), (1 / scale).to(problem.dtype)

    def furthest(g: int, x: torch.Tensor) -> torch.Tensor:
        return x.sub_(centers[g // problem.folds]).mul_(unit).square_().mean(1).sqrt_()

    score_rows(problem, side, range(problem.n_classes), furthest, ratio)
    weight: NDArray[np.float32] = np.square(np.minimum(1.0, BOUND / np.maximum(ratio, 1e-30)))
    return weight


def _medians(problem: Problem, classes: range) -> torch.Tensor:
    out = torch.zeros(len(classes), problem.width, device=problem.device, dtype=torch.float64)
    for i, c in enumerate(classes):
        members = problem.train.members(c, problem.folds)
        step = max(1, len(members) // _MEDIAN_ROWS)
        rows = torch.from_numpy(np.ascontiguousarray(problem.train.rows[members[::step]]))
        if len(rows):
            out[i] = rows.to(problem.device).double().median(0).values
    return out
