"""Batch test: groups of near copies that the reference has no counterpart of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lazaretto.detect.base import Chunk
from lazaretto.detect.neighbours import NeighbourIndex
from lazaretto.screen.batch_tests.base import Outcome, Pair, permutation_p
from lazaretto.stats.counts import hypergeometric_tail

if TYPE_CHECKING:
    import numpy.typing as npt

    from lazaretto.detect.arrays import Floats, Ints

CLOSENESS = 0.6
"""Near copies are closer than this share of the reference's median nearest-neighbour distance."""
NEIGHBOURS = 10
FARTHEST = 1.0
"""Copies are looked for no farther from a named one than this share of that median distance."""
MEMBER_LEVEL = 0.05
"""Once the test fires, groups at least this unlikely to lie in the batch by chance are named."""


def near_duplicates(pair: Pair) -> Outcome:
    """Tests whether near copies lie in the batch rather than across batch and reference.

    Batch and reference are pooled and near copies grouped. Templates and re-posts group too, but if
    the batch is like the reference, each group's rows fall on either side by chance: the count of
    pairs inside the batch is compared with its permutation distribution. The unit of closeness is
    the reference's, so that a batch full of copies does not set its own standard.

    What is named then grows: looser copies lie farther from the others than `CLOSENESS` allows, so
    every record is named that lies half way or less to where trusted records begin (`_reach`).
    """
    m, n = len(pair.batch), len(pair.reference)
    distances = NeighbourIndex(pair.reference).among_itself(1).distance
    usual = float(np.median(distances)) if distances.size else 0.0
    radius = CLOSENESS * usual
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

    def draw(rows: int) -> npt.NDArray[np.float64]:
        draws = rng.multivariate_hypergeometric(np.append(s, alone), m, rows)[:, :-1]
        return np.asarray((draws * (draws - 1.0)).sum(1) / 2, dtype=np.float64)

    # Pairs are counted: nothing is rounded.
    p_value = permutation_p(pairs, draw, permutations=pair.permutations, slack=0.0)
    sides = zip(b.tolist(), s.tolist(), strict=True)
    chance = np.array([hypergeometric_tail(here, m + n, both, m) for here, both in sides])
    named = grouped[(chance <= MEMBER_LEVEL) & (b > 1)]
    members = np.isin(group[:m], named)
    if members.any():
        copies = NeighbourIndex(pair.batch[members])
        radius = _reach(copies, pair.reference, radius, FARTHEST * usual)
        members |= _distance(copies, pair.batch) <= radius
    expected = float((s * (s - 1) / 2).sum() * (m / (m + n)) ** 2)
    return Outcome(
        p_value,
        f"{pairs:.0f} pairs of near copies among {m} records; about {expected:.0f} are expected. "
        f"{int(members.sum())} records in or beside {len(named)} groups have too few counterparts "
        "among trusted records",
        members,
        radius,
    )


def _reach(copies: NeighbourIndex, reference: Floats, radius: float, farthest: float) -> float:
    """How far from a named copy others are looked for: at least the radius.

    Half way from there to the nearest trusted record beyond it, so that clean records, which lie as
    trusted ones do, stay out.
    """
    trusted = _distance(copies, reference)
    beyond = trusted[trusted > radius]
    return float((radius + min(farthest, beyond.min(initial=farthest))) / 2)


def _distance(copies: NeighbourIndex, rows: Floats) -> Floats:
    """From each row to the nearest copy, (n,)."""
    return copies.search(Chunk(rows), 1).distance[:, 0]


def _groups(pair: Pair, radius: float) -> Ints:
    """Group of each row, batch first: connected by steps of at most the radius."""
    pooled = np.concatenate([pair.batch, pair.reference])
    found = NeighbourIndex(pooled).among_itself(NEIGHBOURS)
    close = found.distance <= radius
    start = np.broadcast_to(np.arange(len(pooled))[:, None], close.shape)[close]
    return connected(len(pooled), start, found.row[close])


def connected(rows: int, start: Ints, end: Ints) -> Ints:
    """Component of each row of an undirected graph, int64 (rows,), numbered from 0.

    Args:
        rows: how many.
        start: int64 (e,), one end of each edge.
        end: int64 (e,), the other.
    """
    lowest = np.arange(rows)
    while True:
        # Each row takes the lowest number among itself and its neighbours, then that row's own.
        before = lowest.copy()
        np.minimum.at(lowest, start, before[end])
        np.minimum.at(lowest, end, before[start])
        lowest = lowest[lowest]
        if np.array_equal(lowest, before):
            return np.asarray(np.unique(lowest, return_inverse=True)[1], dtype=np.int64)
