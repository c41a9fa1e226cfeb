"""Spectral signatures: squared projection on the direction in which a class varies most.

Tran, Li, Madry (2018), "Spectral signatures in backdoor attacks", kept as the baseline that people
know. Centred on both sides: several published implementations take the direction from centred rows
and project uncentred ones, which is blind to a poison on the far side of the origin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from lazaretto.sanitize.few_rows import has_few_rows, score_few_rows
from lazaretto.sanitize.linalg.krylov import leading
from lazaretto.sanitize.moments import class_moments, without_fold
from lazaretto.sanitize.quadratic import projected
from lazaretto.sanitize.scores import Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lazaretto.sanitize.layer_data import LayerData


def spectral(layer: LayerData) -> Scores:
    """Scores rows by ``((x - mean) . v)^2`` over its mean, all of it from rows of other folds.

    Of classes with fewer rows than features, from the products between rows; of the others, from
    their covariance.
    """
    train, trusted = layer.empty_scores()
    few = has_few_rows(layer)
    score_few_rows(layer, np.flatnonzero(few), train, trusted)
    for run in _runs(~few):
        for classes in layer.class_blocks(run):
            _score_many_rows(layer, classes, train, trusted)
    return Scores(train, trusted)


def _runs(wanted: NDArray[np.bool_]) -> list[range]:
    """Ranges of neighbouring classes that are wanted."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], wanted, [False]])))
    return [range(first, last) for first, last in edges.reshape(-1, 2).tolist()]


def _score_many_rows(
    layer: LayerData,
    classes: range,
    train: NDArray[np.float32],
    trusted: NDArray[np.float32] | None,
) -> None:
    fit = without_fold(class_moments(layer, layer.train, classes), layer.folds)
    energy, direction, _ = leading(fit.scatter.to(layer.dtype))
    scale = (fit.count / energy.double().clamp(min=1e-300)).sqrt()
    scaled = direction * torch.where(fit.count > 0, scale, torch.nan)[:, None]
    projected(layer, layer.train, classes, center=fit.mean, direction=scaled, out=train)
    if layer.trusted is not None and trusted is not None:
        projected(layer, layer.trusted, classes, center=fit.mean, direction=scaled, out=trusted)
