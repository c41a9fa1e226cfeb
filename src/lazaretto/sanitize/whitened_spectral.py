"""Quantum entropy score of rows whitened by the trusted rows of their class.

SPECTRE: Hayase, Kong, Somani, Oh (2021), "Defending against backdoor attacks using robust
covariance estimation", with the trusted covariance in place of the robust estimate. Directions in
which a class varies more than its trusted rows do are weighted by a matrix exponential, so one
strong direction and several weaker ones both count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from lazaretto.sanitize.moments import (
    Moments,
    class_covariance,
    class_moments,
    tied_covariance,
    without_fold,
)
from lazaretto.sanitize.problem import stream
from lazaretto.sanitize.scores import Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lazaretto.sanitize.problem import Problem, Side

ALPHA = 4.0
"""Temperature of the matrix exponential, as in the paper; 0 would be Mahalanobis."""


def whitened_spectral(problem: Problem) -> Scores:
    """Scores every row by a quadratic form that was fitted without the row's own fold.

    Args:
        problem: must have trusted rows.

    Returns:
        Scores of all training and trusted rows; NaN for classes without trusted rows in every fit.
    """
    trusted = problem.trusted
    if trusted is None:
        message = "whitened_spectral needs trusted rows"
        raise ValueError(message)
    train_scores = np.full(len(problem.train.label), np.nan, np.float32)
    trusted_scores = np.full(len(trusted.label), np.nan, np.float32)
    tied = _tied_by_fold(problem, trusted)
    for classes in problem.class_blocks():
        dim = (len(classes), problem.folds)
        suspect, clean = (class_moments(problem, s, classes) for s in (problem.train, trusted))
        centers, forms = [], []
        for fold in range(problem.folds):
            scale, shape = tied[fold]
            reference = without_fold(clean, dim, fold)
            rows = without_fold(suspect, dim, fold)
            forms.append(quantum_form(reference, rows, shape, scale))
            centers.append(reference.mean)
        center = torch.stack(centers, 1).flatten(0, 1)
        form = torch.stack(forms, 1).flatten(0, 1)
        _score(problem, problem.train, classes, center=center, form=form, out=train_scores)
        _score(problem, trusted, classes, center=center, form=form, out=trusted_scores)
    return Scores(train_scores, trusted_scores)


def quantum_form(
    reference: Moments, rows: Moments, tied: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """The matrices A (C, d, d) of the score ``(x - center)' A (x - center)``.

    A = W M W' with W W' the inverse of the reference covariance and
    M = exp(alpha (S - I) / (|S| - 1)) / trace, S the second moment of the whitened rows. The
    divisor is kept above what pure noise gives, (1 + sqrt(d/n))^2 - 1 (Marchenko-Pastur edge), so
    that a class without signal gets a Mahalanobis-like score instead of an amplified noise
    direction.
    """
    d = tied.shape[-1]
    lower = torch.linalg.cholesky(class_covariance(reference, tied, scale))
    second = rows.about(reference.mean) / rows.count.clamp(min=1)[:, None, None]
    second = second / (scale[:, None] * scale[None, :])
    half = torch.linalg.solve_triangular(lower, second, upper=False)
    whitened = torch.linalg.solve_triangular(lower, half.mT, upper=False)
    values, vectors = torch.linalg.eigh(whitened)
    edge = (1 + (d / rows.count.clamp(min=1)).sqrt()).square()
    divisor = (values[:, -1].maximum(edge) - 1)[:, None]
    weights = torch.softmax(ALPHA * (values - 1) / divisor, dim=1)
    basis = torch.linalg.solve_triangular(lower.mT, vectors, upper=True) / scale[:, None]
    form = (basis * weights[:, None, :]) @ basis.mT
    empty = (reference.count < 1) | (rows.count < 1)
    return torch.where(empty[:, None, None], torch.nan, form)


def _tied_by_fold(problem: Problem, trusted: Side) -> list[tuple[torch.Tensor, torch.Tensor]]:
    size = (problem.folds, problem.width, problem.width)
    scatter = torch.zeros(size, device=problem.device, dtype=torch.float64)
    degrees = torch.zeros_like(scatter[:, 0, 0])
    for classes in problem.class_blocks():
        moments = class_moments(problem, trusted, classes)
        for fold in range(problem.folds):
            part = without_fold(moments, (len(classes), problem.folds), fold)
            scatter[fold] += part.scatter.sum(0)
            degrees[fold] += (part.count - 1).clamp(min=0).sum()
    return [tied_covariance(s, n) for s, n in zip(scatter, degrees, strict=True)]


def _score(
    problem: Problem,
    side: Side,
    classes: range,
    *,
    center: torch.Tensor,
    form: torch.Tensor,
    out: NDArray[np.float32],
) -> None:
    offset = classes.start * problem.folds
    center, form = center.to(problem.dtype), form.to(problem.dtype)
    for chunk in stream(problem, side, classes):
        scores = torch.empty(len(chunk.positions), device=problem.device, dtype=problem.dtype)
        for group, first, last in chunk.segments:
            x = chunk.x[first:last] - center[group - offset]
            scores[first:last] = (x @ form[group - offset]).mul_(x).sum(1)
        out[chunk.positions] = scores.float().cpu().numpy()
