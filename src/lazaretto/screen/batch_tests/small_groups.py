"""Small groups of near copies: how surprising it is that so many of them lie in the batch."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.screen.batch_tests.base import FINER, permutation_p
from lazaretto.stats.counts import hypergeometric_tail

if TYPE_CHECKING:
    import numpy.typing as npt

    from lazaretto.detect.arrays import Ints

FEWEST = 3
"""Pairs are too common to count: any two messages may be alike."""
LARGEST = 30
"""Larger groups are what pairs are counted for, and would drown the small ones."""
MOST_TELLING = 12.0
"""One group counts at most this much, in nats: many small groups are looked for, not one."""


def small_groups_p(
    inside: Ints, size: Ints, *, batch: int, rows: int, permutations: int, seed: int
) -> float:
    """P-value of how far small groups lie in the batch rather than across batch and reference.

    Each group of 3 to 30 near copies says how unlikely it is that so many of its rows lie in the
    batch, if batch and reference are alike (the hypergeometric tail, as minus its logarithm). The
    sum is compared with its distribution when which rows lie in the batch is drawn again: exact,
    and calibrated by the reference's own groups, which fall on either side.

    Args:
        inside: int64 (g,), rows of each group in the batch.
        size: int64 (g,), all its rows.
        batch: rows of the batch.
        rows: of batch and reference.
        permutations: that can reach the level.
        seed: of the permutations.
    """
    chosen = (size >= FEWEST) & (size <= LARGEST)
    inside, size = inside[chosen], size[chosen]
    if not len(size):
        return 1.0
    surprise = {
        each: np.array(
            [
                min(MOST_TELLING, -log(max(1e-300, hypergeometric_tail(k, rows, each, batch))))
                for k in range(each + 1)
            ]
        )
        for each in np.unique(size).tolist()
    }

    def total(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        told = np.zeros(len(counts))
        for each, table in surprise.items():
            told += table[counts[:, size == each]].sum(1)
        return told

    observed = float(total(inside[None])[0])
    rng = np.random.default_rng(seed)
    alone = rows - int(size.sum())
    return permutation_p(
        observed,
        lambda count: total(
            rng.multivariate_hypergeometric(np.append(size, alone), batch, count)[:, :-1]
        ),
        permutations=permutations,
        slack=1e-9 * max(1.0, observed),
        finer=FINER,
    )
