"""Quantum entropy score of rows whitened by the clean rows of their class.

SPECTRE: Hayase, Kong, Somani, Oh (2021), "Defending against backdoor attacks using robust
covariance estimation", with the trusted covariance in place of the robust estimate where there are
trusted rows. Directions in which a class varies more than its clean rows do are weighted by a
matrix exponential, so one strong direction and several weaker ones both count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from lazaretto.sanitize.agreement import agreement
from lazaretto.sanitize.linalg.exponential import half_exponential
from lazaretto.sanitize.linalg.krylov import leading
from lazaretto.sanitize.linalg.triangular import squared_norms, symmetric_product, upper_factor
from lazaretto.sanitize.moments import Sums, without_fold
from lazaretto.sanitize.quadratic import quadratic, score_rows
from lazaretto.sanitize.robust import clean_whitenings
from lazaretto.sanitize.scores import Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lazaretto.sanitize.layer_data import LayerData
    from lazaretto.sanitize.moments import Moments
    from lazaretto.sanitize.streaming import Stack
    from lazaretto.sanitize.whitening import Whitening

ALPHA = 4.0
"""Temperature of the matrix exponential, as in the paper; 0 would be Mahalanobis."""

REACH = 0.95
"""Quantile of the clean rows' squared distances that bounds are multiples of."""

LEARN_BOUND, TEST_BOUND = 2.0, 8.0
"""A row counts in full up to this many times that distance when directions are learned, and in the
class test. A poison is many rows; one wild row must neither choose the direction nor fire the
class.
Both were chosen on models trained on synthetic glyphs and scikit-learn's digits."""


def whitened_spectral(layer: LayerData) -> Scores:
    """Scores every row by a form that was fitted without the row's own fold.

    Returns:
        Scores of all rows, bounded ones for the class test; NaN for classes without clean rows.
    """
    train, trusted = layer.empty_scores()
    far_train, far_trusted = layer.empty_scores()
    reach, agreed = np.full((2, layer.n_classes), np.nan)
    witness = np.zeros_like(train), np.zeros(0 if trusted is None else len(trusted), np.float32)
    for classes, white, side, keep in clean_whitenings(layer):
        whole = {"center": white.center, "factor": white.factor()}
        clean_far = far_train if far_trusted is None else far_trusted
        quadratic(layer, side, classes, **whole, out=clean_far)
        for c in classes:
            mine = side.members(c, layer.folds)
            mine = mine if keep is None else mine[keep[mine]]
            if np.isfinite(clean_far[mine]).any():
                reach[c] = np.nanquantile(clean_far[mine], REACH)
        moments = bounded_moments(layer, classes, white, reach, far_train)
        factor = quantum_factor(layer, classes, white, moments)
        whole = {"center": white.center, "factor": factor}
        quadratic(layer, layer.train, classes, **whole, out=train)
        if layer.trusted is not None and trusted is not None:
            quadratic(layer, layer.trusted, classes, **whole, out=trusted)
            for c, beyond in agreement(layer, classes, white, (train, trusted), witness).items():
                agreed[c] = beyond
    tested = train * _weights(far_train, reach[layer.train.label], TEST_BOUND)
    if layer.trusted is None or trusted is None or far_trusted is None:
        return Scores(train, None, tested, None)
    return Scores(
        train,
        trusted,
        tested,
        trusted * _weights(far_trusted, reach[layer.trusted.label], TEST_BOUND),
        ranked_train=train * (1 + witness[0]),
        ranked_trusted=trusted * (1 + witness[1]),
        agreement=agreed,
    )


def bounded_moments(
    layer: LayerData,
    classes: range,
    white: Whitening,
    reach: NDArray[np.float64],
    out: NDArray[np.float32],
) -> Moments:
    """Distances of the training rows, and their moments weighted by them, in one pass.

    Args:
        layer: the rows of one layer.
        classes: the block of classes.
        white: their whitening.
        reach: (all classes,) the distance that bounds are multiples of.
        out: (n,) of the training rows, to which their squared distances are written.

    Returns:
        Moments of every (class, fold) group; empty where nothing is known of clean rows.
    """
    sums = Sums(len(classes) * layer.folds, layer.width, layer.device)
    center, basis = white.center.to(layer.dtype), white.factor()
    bounds = LEARN_BOUND * np.nan_to_num(reach[classes.start : classes.stop], nan=np.inf)
    limits = torch.from_numpy(bounds.repeat(layer.folds)).to(center)

    def learn(groups: slice, stack: Stack) -> torch.Tensor:
        x = stack.x.sub_(center[groups, None])
        if stack.real is not None:
            x.mul_(stack.real[:, :, None])
        far = squared_norms(x, basis[groups])
        weight = (limits[groups, None] / far.clamp(min=1e-30)).clamp(max=1.0).nan_to_num_(nan=0.0)
        sums.add(groups, x, weight if stack.real is None else weight * stack.real)
        return far

    score_rows(layer, layer.train, classes, learn, out)
    return sums.moments(white.center)


def quantum_factor(
    layer: LayerData, classes: range, white: Whitening, moments: Moments
) -> torch.Tensor:
    """Upper triangular F (G, d, d) of the score ``|(x - center) F|^2``.

    F F' = W M W' with W W' the inverse of the clean covariance and
    M = exp(alpha (S - I) / (|S| - 1)) / trace, S the weighted second moment of the whitened
    training rows outside the group's fold. The divisor is kept above what pure noise gives, (1 +
    sqrt(d/n))^2 - 1 (Marchenko-Pastur edge), so that a class without signal gets a
    Mahalanobis-like score instead of an amplified noise direction.

    Args:
        layer: the rows of one layer.
        classes: the block of classes.
        white: their whitening.
        moments: of their training rows, weighted.
    """
    fit = without_fold(moments, layer.folds)
    sizes = torch.from_numpy(layer.train.counts(layer.folds)[classes.start : classes.stop])
    count = (sizes.sum(1, keepdim=True) - sizes * (layer.folds > 1)).flatten().to(white.center)
    second = fit.about(white.center)
    spectrum = white.whiten(second.div_(count.clamp(min=1)[:, None, None]))
    largest, _, lowest = (part.double() for part in leading(spectrum))
    edge = (1 + (layer.width / count.clamp(min=1)).sqrt()).square()
    rate = ALPHA / (largest.maximum(edge) - 1)
    exponent = spectrum.mul_(rate.to(spectrum)[:, None, None])
    exponent.diagonal(dim1=1, dim2=2).sub_(rate.to(spectrum)[:, None])
    # A bound of the lowest exponent; the spread's twentieth is more than Lanczos misses it by.
    low = float((rate * (lowest - 1 - (largest - lowest) / 20).clamp(min=-1)).min())
    half = half_exponential(exponent, low, ALPHA)
    quantum = symmetric_product(half, half)
    quantum /= quantum.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
    factor = white.factor(upper_factor(quantum))
    if bool((count > 0).all()):
        return factor
    return torch.where((count > 0)[:, None, None], factor, torch.nan)


def _weights(
    distance: NDArray[np.float32], reach: NDArray[np.float64], bound: float
) -> NDArray[np.float32]:
    limit = bound * np.nan_to_num(reach, nan=np.inf)
    weight = np.minimum(1.0, limit / np.maximum(distance, 1e-30))
    return np.nan_to_num(weight, nan=0.0).astype(np.float32)
