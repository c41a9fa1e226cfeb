"""Spectral signatures: squared projection on the direction in which a class varies most.

Tran, Li, Madry (2018), "Spectral signatures in backdoor attacks", kept as the baseline that people
know. Centred on both sides: several published implementations take the direction from centred rows
and project uncentred ones, which is blind to a poison on the far side of the origin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lazaretto.sanitize.moments import class_moments, leave_one_out
from lazaretto.sanitize.quadratic import projected
from lazaretto.sanitize.scores import Scores

if TYPE_CHECKING:
    from lazaretto.sanitize.problem import Problem

_BLOCK, _POWERS = 4, 8


def spectral(problem: Problem) -> Scores:
    """Scores rows by ``((x - mean) . v)^2`` over its mean, all of it from rows of other folds."""
    train, trusted = problem.empty_scores()
    for classes in problem.class_blocks():
        dim = (len(classes), problem.folds)
        moments = class_moments(problem, problem.train, classes)
        parts = leave_one_out(moments, dim)
        center = torch.stack([part.mean for part in parts], 1).flatten(0, 1)
        scatter = torch.stack([part.scatter for part in parts], 1).flatten(0, 1)
        direction = top_direction(scatter.to(problem.dtype)).double()
        count = torch.stack([part.count for part in parts], 1).flatten()
        energy = ((scatter @ direction[:, :, None])[:, :, 0] * direction).sum(1)
        scaled = direction * (count / energy.clamp(min=1e-300)).sqrt()[:, None]
        scaled = torch.where(count[:, None] > 0, scaled, torch.nan)
        projected(problem, problem.train, classes, center=center, direction=scaled, out=train)
        if problem.trusted is not None and trusted is not None:
            projected(
                problem, problem.trusted, classes, center=center, direction=scaled, out=trusted
            )
    return Scores(train, trusted)


def top_direction(matrix: torch.Tensor) -> torch.Tensor:
    """Leading unit eigenvectors (G, d) of symmetric positive semidefinite matrices (G, d, d).

    Block Krylov iteration (Musco and Musco 2015) from a fixed start: a few products with d x 4
    blocks instead of the d^3 of an eigendecomposition.
    """
    g, d, _ = matrix.shape
    block = min(_BLOCK, d)
    if d <= block * _POWERS:
        vectors: torch.Tensor = torch.linalg.eigh(matrix).eigenvectors
        return vectors[:, :, -1]
    start = torch.Generator().manual_seed(0)
    v = torch.randn(d, block, generator=start, dtype=torch.float64).to(matrix)
    v = v.expand(g, d, block)
    powers: list[torch.Tensor] = []
    for _ in range(_POWERS):
        v = torch.linalg.qr(matrix @ v).Q
        powers.append(v)
    basis = torch.linalg.qr(torch.cat(powers, 2)).Q
    inner: torch.Tensor = torch.linalg.eigh(basis.mT @ matrix @ basis).eigenvectors
    top: torch.Tensor = basis @ inner[:, :, -1:]
    return top.squeeze(2)
