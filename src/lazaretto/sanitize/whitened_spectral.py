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

from lazaretto.sanitize.moments import class_moments, leave_one_out
from lazaretto.sanitize.quadratic import quadratic
from lazaretto.sanitize.robust import clean_whitenings
from lazaretto.sanitize.scores import Scores
from lazaretto.sanitize.spectral import top_direction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lazaretto.sanitize.problem import Problem
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


def whitened_spectral(problem: Problem) -> Scores:
    """Scores every row by a form that was fitted without the row's own fold.

    Returns:
        Scores of all rows, bounded ones for the class test; NaN for classes without clean rows.
    """
    train, trusted = problem.empty_scores()
    far_train, far_trusted = problem.empty_scores()
    bounded = np.zeros(len(train), np.float32)
    reach = np.full(problem.n_classes, np.nan)
    for classes, white, side, keep in clean_whitenings(problem):
        sides = [(problem.train, train, far_train)]
        if problem.trusted is not None and trusted is not None and far_trusted is not None:
            sides.append((problem.trusted, trusted, far_trusted))
        precision = white.form()
        for rows, _, far in sides:
            quadratic(problem, rows, classes, center=white.center, form=precision, out=far)
        _, _, clean_far = sides[-1]
        for c in classes:
            mine = side.members(c, problem.folds)
            mine = mine if keep is None else mine[keep[mine]]
            if np.isfinite(clean_far[mine]).any():
                reach[c] = np.nanquantile(clean_far[mine], REACH)
            mine = problem.train.members(c, problem.folds)
            bounded[mine] = _weights(far_train[mine], reach[c], LEARN_BOUND)
        form = quantum_form(problem, classes, white, bounded)
        for rows, scores, _ in sides:
            quadratic(problem, rows, classes, center=white.center, form=form, out=scores)
    limits = reach[problem.train.label]
    tested = train * _weights(far_train, limits, TEST_BOUND)
    if problem.trusted is None or trusted is None or far_trusted is None:
        return Scores(train, None, tested, None)
    clean_limits = reach[problem.trusted.label]
    return Scores(train, trusted, tested, trusted * _weights(far_trusted, clean_limits, TEST_BOUND))


def quantum_form(
    problem: Problem, classes: range, white: Whitening, weight: NDArray[np.float32]
) -> torch.Tensor:
    """The matrices A (G, d, d) of the score ``(x - center)' A (x - center)``.

    A = W M W' with W W' the inverse of the clean covariance and
    M = exp(alpha (S - I) / (|S| - 1)) / trace, S the weighted second moment of the whitened
    training rows outside the group's fold. The divisor is kept above what pure noise gives, (1 +
    sqrt(d/n))^2 - 1 (Marchenko-Pastur edge), so that a class without signal gets a
    Mahalanobis-like score instead of an amplified noise direction.

    Args:
        problem: the layer.
        classes: the block of classes.
        white: their whitening.
        weight: (n,) of the training rows, in 0..1.
    """
    dim = (len(classes), problem.folds)
    moments = class_moments(problem, problem.train, classes, weight)
    parts = leave_one_out(moments, dim)
    center = white.center.view(*dim, -1)
    second = torch.stack([p.about(center[:, fold]) for fold, p in enumerate(parts)], 1)
    sizes = torch.from_numpy(problem.train.counts(problem.folds)[classes.start : classes.stop])
    count = (sizes.sum(1, keepdim=True) - sizes * (problem.folds > 1)).flatten().to(second)
    spectrum = white.whiten(second.flatten(0, 1) / count.clamp(min=1)[:, None, None])
    top = top_direction(spectrum)[:, :, None]
    largest = (top.mT @ spectrum @ top)[:, 0, 0].double()
    edge = (1 + (problem.width / count.clamp(min=1)).sqrt()).square()
    rate = (ALPHA / (largest.maximum(edge) - 1)).to(spectrum)
    # Shifted by the largest eigenvalue, which the trace takes out again, nothing overflows.
    shift = largest.to(spectrum)[:, None, None] * torch.eye(problem.width).to(spectrum)
    quantum = torch.linalg.matrix_exp(rate[:, None, None] * (spectrum - shift))
    quantum = quantum / quantum.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
    form = white.form(quantum)
    return torch.where((count > 0)[:, None, None], form, torch.nan)


def _weights(
    distance: NDArray[np.float32], reach: NDArray[np.float64] | np.float64, bound: float
) -> NDArray[np.float32]:
    limit = bound * np.nan_to_num(reach, nan=np.inf)
    weight = np.minimum(1.0, limit / np.maximum(distance, 1e-30))
    return np.nan_to_num(weight, nan=0.0).astype(np.float32)
