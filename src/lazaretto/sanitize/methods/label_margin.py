"""Label margin: how much better another class explains a row's activations than its own label.

A linear discriminant (Fisher 1936; Gaussian classes with one covariance in common) is fitted on
clean rows, and a row's score is the margin by which its label loses. It sees wrong labels and
backdoors that did not take: before a model obeys a trigger, a poison is a row with a wrong label.
A backdoor that took, it does not see: then the activations agree with the label. Fitting costs two
moments per class, where a logistic probe costs an optimisation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from lazaretto.sanitize.moments import class_moments, leave_one_out, tied_covariance
from lazaretto.sanitize.scores import Scores
from lazaretto.sanitize.streaming import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lazaretto.sanitize.layer_data import LayerData, Side


class _Discriminants(NamedTuple):
    """Linear discriminants of every fold, fitted without it.

    Attributes:
        weight: (folds, d, classes).
        bias: (folds, classes); -inf for a class without clean rows.
    """

    weight: torch.Tensor
    bias: torch.Tensor


def label_margin(layer: LayerData) -> Scores:
    """Scores every row by ``log(1 + exp(best other class - own class))`` of its discriminants.

    Fitted on trusted rows, or on the training rows of the other folds where there are none: a few
    wrong labels hardly move the mean of a class.

    Returns:
        Non-negative scores; NaN for classes without clean rows.
    """
    if layer.n_classes < 2:
        empty = layer.empty_scores()
        return Scores(*empty, skipped="label margin compares classes and there is one")
    fitted = _fit(layer, layer.train if layer.trusted is None else layer.trusted)
    train, trusted = layer.empty_scores()
    _margins(layer, layer.train, fitted, train)
    if layer.trusted is not None and trusted is not None:
        _margins(layer, layer.trusted, fitted, trusted)
    return Scores(train, trusted, view="others")


def _fit(layer: LayerData, side: Side) -> _Discriminants:
    folds, d = layer.folds, layer.width
    scatter = torch.zeros(folds, d, d, device=layer.device, dtype=torch.float64)
    degrees = torch.zeros(folds, device=layer.device, dtype=torch.float64)
    means, counts = [], []
    for classes in layer.class_blocks():
        moments = class_moments(layer, side, classes)
        parts = leave_one_out(moments, (len(classes), folds))
        for fold, part in enumerate(parts):
            scatter[fold] += part.scatter.sum(0)
            degrees[fold] += (part.count - 1).clamp(min=0).sum()
        means.append(torch.stack([part.mean for part in parts]))
        counts.append(torch.stack([part.count for part in parts]))
    mean, count = torch.cat(means, 1), torch.cat(counts, 1)
    weights, biases = [], []
    for fold in range(folds):
        scale, tied = tied_covariance(scatter[fold], degrees[fold])
        centers = (mean[fold] / scale).mT
        solved = torch.cholesky_solve(centers, torch.linalg.cholesky(tied))
        bias = -(centers * solved).sum(0) / 2
        weights.append(solved / scale[:, None])
        biases.append(torch.where(count[fold] > 0, bias, -torch.inf))
    return _Discriminants(torch.stack(weights), torch.stack(biases))


def _margins(
    layer: LayerData, side: Side, fitted: _Discriminants, out: NDArray[np.float32]
) -> None:
    # In float64 for the means of classes may lie far from the origin; d * classes is small.
    for chunk in stream(layer, side, range(layer.n_classes)):
        scores = np.full(len(chunk.positions), np.nan, np.float32)
        for group, first, last in chunk.segments:
            label, fold = divmod(group, layer.folds)
            if not torch.isfinite(fitted.bias[fold, label]):
                continue
            values = chunk.x[first:last].double() @ fitted.weight[fold] + fitted.bias[fold]
            own = values[:, label].clone()
            values[:, label] = -torch.inf
            margin = torch.nn.functional.softplus(values.max(1).values - own)
            scores[first:last] = margin.float().cpu().numpy()
        out[chunk.positions] = scores
