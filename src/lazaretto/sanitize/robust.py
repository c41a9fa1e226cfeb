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

    from lazaretto.sanitize.layer_data import LayerData, Side
    from lazaretto.sanitize.moments import Moments
    from lazaretto.sanitize.streaming import Stack

KEEP = 0.7
"""Share of a class that its own covariance rests on when there are no trusted rows; up to a third
of the class may be poison. Chosen on models trained on synthetic glyphs and digits."""

TAMED, BOUND = 0.995, 10.0
"""Rows further than `BOUND` robust standard deviations from their class median are down-weighted,
so one outlier cannot dominate the pooled covariance. The deviation of a feature is the root mean
square of the gaps from the class medians, over the `TAMED` of all rows that are nearest. Rows of
real networks hardly ever reach the bound."""

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


def clean_whitenings(layer: LayerData) -> Iterator[Clean]:
    """Whitening of each block of classes, by trusted rows or by the bulk of each class.

    Without trusted rows: concentration steps as in FastMCD (Rousseeuw and Van Driessen 1999) from
    one deterministic start, the coordinate-wise median of the class and the covariance that the
    *other* classes have in common, where a poison of this class does not show. The covariance is
    the mean of that and of the kept rows' own. Rows far beyond what networks give have bounded
    weight throughout. It is not cross-fitted.
    """
    if layer.trusted is not None:
        for classes, white in whitenings(layer, layer.trusted):
            yield Clean(classes, white, layer.trusted, None)
        return
    middle = torch.cat([_medians(layer, classes) for classes in layer.class_blocks()])
    weight = bounded_weight(layer, middle)
    total, degrees = _pooled(layer, weight)
    for classes in layer.class_blocks():
        yield _concentrate(layer, classes, middle, weight, total, degrees)


def _pooled(
    layer: LayerData, weight: NDArray[np.float32], without: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scatter (d, d) within classes and its degrees of freedom, of all classes or all but one."""
    total = torch.zeros(layer.width, layer.width, device=layer.device, dtype=torch.float64)
    degrees = torch.zeros((), device=layer.device, dtype=torch.float64)
    for classes in layer.class_blocks():
        moments = _by_class(layer, classes, weight)
        for c, label in enumerate(classes):
            if label != without:
                total += moments.scatter[c]
                degrees += (moments.count[c] - 1).clamp(min=0)
    return total, degrees


def _concentrate(
    layer: LayerData,
    classes: range,
    middle: torch.Tensor,
    weight: NDArray[np.float32],
    total: torch.Tensor,
    degrees: torch.Tensor,
) -> Clean:
    everything = _by_class(layer, classes, weight)
    ties = []
    for c, label in enumerate(classes):
        scatter = total - everything.scatter[c]
        others = degrees - (everything.count[c] - 1).clamp(min=0)
        if bool(others < 1):
            scatter, others = total, degrees
        elif bool(total.diagonal().max() * _LOST > scatter.diagonal().mean()):
            # This class dwarfs the others: what is left of a difference would be rounding.
            scatter, others = _pooled(layer, weight, label)
        ties.append(tied_covariance(scatter, others))
    scale = torch.stack([scale for scale, _ in ties])
    tied = torch.stack([shape for _, shape in ties])
    center, shape = middle[classes.start : classes.stop], tied
    sizes = layer.train.counts(layer.folds).sum(1)
    keep = np.zeros(len(layer.train.label), bool)
    far, _ = layer.empty_scores()
    for _ in range(_STEPS):
        white = _whitening(layer, everything, center, shape, scale)
        quadratic(layer, layer.train, classes, center=white.center, factor=white.factor(), out=far)
        for c in classes:
            members = layer.train.members(c, layer.folds)
            keep[members] = False
            count = int(np.ceil(KEEP * sizes[c]))
            keep[members[np.argsort(far[members], kind="stable")[:count]]] = True
        kept = _by_class(layer, classes, keep * weight)
        center = kept.mean
        shape = torch.cat(
            [
                class_covariance(_one(kept, c), tied[c], scale[c]) + tied[c]
                for c in range(len(classes))
            ]
        )
        shape = shape / 2
    return Clean(classes, _whitening(layer, everything, center, shape, scale), layer.train, keep)


def _whitening(
    layer: LayerData,
    moments: Moments,
    center: torch.Tensor,
    shape: torch.Tensor,
    scale: torch.Tensor,
) -> Whitening:
    white = make_whitening(center, shape, scale, moments.count > 0, layer.dtype)
    k = layer.folds
    return Whitening(
        white.center.repeat_interleave(k, 0),
        white.basis.repeat_interleave(k, 0),
        white.known.repeat_interleave(k, 0),
    )


def _by_class(layer: LayerData, classes: range, weight: NDArray[np.float32] | None) -> Moments:
    moments = class_moments(layer, layer.train, classes, weight)
    return merge(moments, layer.folds)


def _one(moments: Moments, c: int) -> Moments:
    part = slice(c, c + 1)
    return type(moments)(moments.count[part], moments.mean[part], moments.scatter[part])


def bounded_weight(layer: LayerData, middle: torch.Tensor) -> NDArray[np.float32]:
    """Weights (n,) that bound every row's share of every feature's scatter."""
    side = layer.train
    step = max(1, len(side.label) // _MEDIAN_ROWS)
    sample = side.order[::step]
    rows = torch.from_numpy(side.rows[sample]).to(layer.device)
    label = torch.from_numpy(side.label[sample]).to(layer.device)
    squares = []
    # Some columns at a time: in float64, wide rows would take gigabytes.
    for begin in range(0, layer.width, _COLUMNS):
        columns = slice(begin, begin + _COLUMNS)
        gaps = (rows[:, columns].double() - middle[label, columns]).square()
        nearest = gaps <= gaps.kthvalue(max(1, int(TAMED * len(gaps))), dim=0).values
        squares.append((gaps * nearest).sum(0) / nearest.sum(0))
    scale = torch.cat(squares).sqrt()
    # A unit that is dead on nearly all rows still has some scale.
    scale = scale.maximum(1e-2 * scale.square().mean().sqrt()).clamp(min=1e-30)
    ratio, _ = layer.empty_scores()
    centers = middle.to(layer.dtype).repeat_interleave(layer.folds, 0)
    unit = (1 / scale).to(layer.dtype)

    def furthest(groups: slice, stack: Stack) -> torch.Tensor:
        middles = centers[groups, None]
        return stack.x.sub_(middles).mul_(unit).square_().mean(2).sqrt_()

    score_rows(layer, side, range(layer.n_classes), furthest, ratio)
    weight: NDArray[np.float32] = np.square(np.minimum(1.0, BOUND / np.maximum(ratio, 1e-30)))
    return weight


def _medians(layer: LayerData, classes: range) -> torch.Tensor:
    out = torch.zeros(len(classes), layer.width, device=layer.device, dtype=torch.float64)
    for i, c in enumerate(classes):
        members = layer.train.members(c, layer.folds)
        step = max(1, len(members) // _MEDIAN_ROWS)
        rows = torch.from_numpy(np.ascontiguousarray(layer.train.rows[members[::step]]))
        if len(rows):
            out[i] = rows.to(layer.device).double().median(0).values
    return out
