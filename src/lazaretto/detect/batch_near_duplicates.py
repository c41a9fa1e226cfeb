"""Batch test: groups of near copies that the reference has no counterpart of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import hypergeom

from lazaretto.detect.batch_test import Outcome, Pair, permutation_p
from lazaretto.detect.neighbours import NeighbourIndex

if TYPE_CHECKING:
    import numpy.typing as npt

NAME = "near_duplicates"
CLOSENESS = 0.6
"""Near copies are closer than this share of the reference's median nearest-neighbour distance."""
NEIGHBOURS = 10
BLOCK = 500
MEMBER_LEVEL = 0.05
"""Once the test fires, groups at least this unlikely to lie in the batch by chance are named."""


def near_duplicates(pair: Pair) -> Outcome:
    """Tests whether near copies lie in the batch rather than across batch and reference.

    Batch and reference are pooled and near copies grouped. Templates and re-posts group too, but if
    the batch is like the reference, each group's rows fall on either side by chance: the count of
    pairs inside the batch is compared with its permutation distribution. The unit of closeness is
    the reference's, so that a batch full of copies does not set its own standard.
    """
    m, n = len(pair.batch), len(pair.reference)
    usual = NeighbourIndex(pair.reference).among_itself(1).distance
    radius = CLOSENESS * float(usual.median()) if usual.numel() else 0.0
    group = _groups(pair, radius)
    size = np.bincount(group)
    inside = np.bincount(group[:m], minlength=len(size))
    grouped = np.flatnonzero(size > 1)
    if not len(grouped):
        return Outcome(1.0, "no near copies", np.zeros(m, dtype=bool), radius)
    b, s = inside[grouped], size[grouped]
    rng = np.random.default_rng(pair.seed)
    alone = m + n - s.sum()
    pairs = float((b * (b - 1)).sum() / 2)
    permuted = []
    for start in range(0, pair.permutations, BLOCK):
        rows = min(BLOCK, pair.permutations - start)
        draws = rng.multivariate_hypergeometric(np.append(s, alone), m, rows)[:, :-1]
        permuted.append((draws * (draws - 1.0)).sum(1) / 2)
    p_value = permutation_p(pairs, np.concatenate(permuted))
    unlikely = hypergeom(m + n, s, m).sf(b - 1) <= MEMBER_LEVEL
    named = grouped[unlikely & (b > 1)]
    members = np.isin(group[:m], named)
    expected = float((s * (s - 1) / 2).sum() * (m / (m + n)) ** 2)
    return Outcome(
        p_value,
        f"{pairs:.0f} pairs of near copies among {m} records; about {expected:.0f} are expected. "
        f"{int(members.sum())} records in {len(named)} groups have too few counterparts among "
        "trusted records",
        members,
        radius,
    )


def _groups(pair: Pair, radius: float) -> npt.NDArray[np.int64]:
    """Group of each row, batch first: connected by steps of at most the radius."""
    pooled = torch.cat([pair.batch, pair.reference])
    found = NeighbourIndex(pooled).among_itself(NEIGHBOURS)
    close = (found.distance <= radius).numpy()
    start = np.broadcast_to(np.arange(len(pooled))[:, None], close.shape)[close]
    edges = coo_array(
        (np.ones(len(start)), (start, found.row.numpy()[close])), shape=(len(pooled),) * 2
    )
    return np.asarray(connected_components(edges, directed=False)[1], dtype=np.int64)
