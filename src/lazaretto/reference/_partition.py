"""How a reference's rows are dealt out to FIT, RANK and CAL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

FOLDED_BELOW = 10_000
"""References with fewer rows are cross-fitted: every row serves FIT and CAL, in different folds."""
FOLDS = 10
SMALLEST_REFERENCE = 30
LARGEST_RANK = 2_000


@dataclass(frozen=True, slots=True)
class Part:
    """Row numbers, int64, of three disjoint sets."""

    fit: Tensor
    rank: Tensor
    calibration: Tensor


def partition(
    label: Tensor | None, rows: int, *, seed: int, folded: bool | None = None
) -> tuple[Part, ...]:
    """Deals rows out at random, evenly over the classes.

    Large references: one part, FIT 60 %, RANK 10 % (at most `LARGEST_RANK`), CAL the rest. Small
    ones: K rotations; fold f is CAL, fold f + 1 is RANK and the others are FIT, so that the CAL
    sets together are the whole reference.

    Args:
        label: int64 (rows,), or None.
        rows: how many.
        seed: of the dealing.
        folded: overrides the choice by size; a hard promise needs one part.
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(rows)
    if label is not None:
        shuffled = shuffled[np.argsort(label.numpy()[shuffled], kind="stable")]
    place = np.empty(rows, dtype=np.int64)
    place[shuffled] = np.arange(rows)
    if folded if folded is not None else rows < FOLDED_BELOW:
        fold = place % FOLDS
        return tuple(
            Part(
                fit=_where((fold != f) & (fold != (f + 1) % FOLDS)),
                rank=_where(fold == (f + 1) % FOLDS),
                calibration=_where(fold == f),
            )
            for f in range(FOLDS)
        )
    slot = place % 10
    ranked = np.flatnonzero(slot == 6)
    kept = rng.permutation(ranked)[:LARGEST_RANK]
    calibration = np.concatenate([np.flatnonzero(slot > 6), np.setdiff1d(ranked, kept)])
    return (
        Part(
            fit=_where(slot < 6),
            rank=torch.from_numpy(np.sort(kept)),
            calibration=torch.from_numpy(np.sort(calibration)),
        ),
    )


def _where(mask: np.ndarray) -> Tensor:
    return torch.from_numpy(np.flatnonzero(mask))
