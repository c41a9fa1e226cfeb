"""Squared Mahalanobis distance of rows from the clean rows of their own class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lazaretto.sanitize.quadratic import quadratic
from lazaretto.sanitize.robust import clean_whitenings
from lazaretto.sanitize.scores import Scores

if TYPE_CHECKING:
    from lazaretto.sanitize.layer_data import LayerData


def mahalanobis(layer: LayerData) -> Scores:
    """Scores every row by its distance, in units of a covariance fitted without the row's fold.

    Lee, Lee, Lee, Shin (2018), "A simple unified framework for detecting out-of-distribution
    samples and adversarial attacks", class-conditional, with the class's own shrunk covariance.
    """
    train, trusted = layer.empty_scores()
    for classes, white, _, _ in clean_whitenings(layer):
        options = {"center": white.center, "factor": white.factor()}
        quadratic(layer, layer.train, classes, **options, out=train)
        if layer.trusted is not None and trusted is not None:
            quadratic(layer, layer.trusted, classes, **options, out=trusted)
    return Scores(np.maximum(train, 0), None if trusted is None else np.maximum(trusted, 0))
