"""Spectral signatures: squared projection on the direction in which a class varies most.

Tran, Li, Madry (2018), "Spectral signatures in backdoor attacks", kept as the baseline that people
know. Centred on both sides: several published implementations take the direction from centred rows
and project uncentred ones, which is blind to a poison on the far side of the origin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lazaretto.sanitize.linalg.krylov import leading
from lazaretto.sanitize.moments import class_moments, without_fold
from lazaretto.sanitize.quadratic import projected
from lazaretto.sanitize.scores import Scores

if TYPE_CHECKING:
    from lazaretto.sanitize.layer_data import LayerData


def spectral(layer: LayerData) -> Scores:
    """Scores rows by ``((x - mean) . v)^2`` over its mean, all of it from rows of other folds."""
    train, trusted = layer.empty_scores()
    for classes in layer.class_blocks():
        fit = without_fold(class_moments(layer, layer.train, classes), layer.folds)
        energy, direction, _ = leading(fit.scatter.to(layer.dtype))
        scale = (fit.count / energy.double().clamp(min=1e-300)).sqrt()
        scaled = direction * torch.where(fit.count > 0, scale, torch.nan)[:, None]
        projected(layer, layer.train, classes, center=fit.mean, direction=scaled, out=train)
        if layer.trusted is not None and trusted is not None:
            projected(layer, layer.trusted, classes, center=fit.mean, direction=scaled, out=trusted)
    return Scores(train, trusted)
