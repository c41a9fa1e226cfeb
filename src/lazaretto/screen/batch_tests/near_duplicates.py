"""Batch test: groups of near copies that the reference has no counterpart of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.detect.base import Chunk
from lazaretto.detect.neighbours import NeighbourIndex
from lazaretto.screen.batch_tests.base import FINER, Outcome, Pair, permutation_p
from lazaretto.screen.batch_tests.small_groups import small_groups_p
from lazaretto.stats.counts import hypergeometric_tail

if TYPE_CHECKING:
    import numpy.typing as npt

    from lazaretto.detect.arrays import Floats, Ints
    from lazaretto.detect.neighbours import Neighbours

CLOSENESS = 0.6
"""Near copies are closer than this share of the reference's median nearest-neighbour distance."""
TIGHT = 0.35
"""Likewise where small groups are looked for: few steps must not join two of them."""
NEIGHBOURS = 10
TRUSTED = 1000
"""Trusted rows that are looked at, or as many as the batch has, where that is more."""
FARTHEST = 1.0
"""Copies are looked for no farther from a named one than this share of that median distance."""
MEMBER_LEVEL = 0.05
"""Once the test fires, groups at least this unlikely to lie in the batch by chance are named."""


def near_duplicates(pair: Pair) -> Outcome:
    """Tests whether near copies lie in the batch rather than across batch and reference.

    Batch and reference are pooled and near copies grouped. Templates and re-posts group too, but if
    the batch is like the reference, each group's rows fall on either side by chance. Two questions
    are asked, each against its permutation distribution, at half the level each: how many pairs of
    near copies lie inside the batch, which a large flood shows; and how surprising its small groups
    are together, which many floods of a few copies show (`small_groups_p`). The unit of closeness
    is the reference's, so that a batch full of copies does not set its own standard.

    What is named then grows: looser copies lie farther from the others than `CLOSENESS` allows, so
    every record is named that lies half way or less to where trusted records begin (`_reach`).
    """
    m = len(pair.batch)
    pair = replace(pair, reference=pair.reference[: max(m, TRUSTED)])
    distances = NeighbourIndex(pair.reference).among_itself(1).distance
    usual = float(np.median(distances)) if distances.size else 0.0
    pooled = np.concatenate([pair.batch, pair.reference])
    near = NeighbourIndex(pooled).among_itself(NEIGHBOURS)
    large, small = (_Groups.of(near, share * usual, m) for share in (CLOSENESS, TIGHT))
    by_pairs, by_groups = _pairs_p(large, pair), _small_p(small, pair)
    told = large if by_pairs <= by_groups else small
    if not len(large.size):
        return Outcome(1.0, "no near copies", np.zeros(m, dtype=bool), large.radius)
    total = len(pooled)
    sides = zip(told.inside.tolist(), told.size.tolist(), strict=True)
    chance = np.array([hypergeometric_tail(here, total, both, m) for here, both in sides])
    named = told.number[(chance <= MEMBER_LEVEL) & (told.inside > 1)]
    members, radius = np.isin(told.group[:m], named), told.radius
    if members.any():
        copies = NeighbourIndex(pair.batch[members])
        radius = _reach(copies, pair.reference, radius, FARTHEST * usual)
        members |= _distance(copies, pair.batch) <= radius
    b, s = told.inside.astype(np.float64), told.size.astype(np.float64)
    expected = float((s * (s - 1) / 2).sum() * (m / total) ** 2)
    return Outcome(
        min(1.0, 2 * min(by_pairs, by_groups)),
        f"{(b * (b - 1)).sum() / 2:.0f} pairs of near copies among {m} records; about "
        f"{expected:.0f} are expected. "
        f"{int(members.sum())} records in or beside {len(named)} groups have too few counterparts "
        "among trusted records",
        members,
        radius,
    )


@dataclass(frozen=True, slots=True)
class _Groups:
    """Groups of near copies, of batch and reference together.

    Attributes:
        group: int64 (n,), of each row, the batch's first.
        number: int64 (g,), of the groups that have more than one row; as are the next two.
        inside: rows of each in the batch.
        size: all its rows.
        radius: steps of at most so much lead from one row of a group to the next.
    """

    group: Ints
    number: Ints
    inside: Ints
    size: Ints
    radius: float

    @classmethod
    def of(cls, near: Neighbours, radius: float, batch: int) -> _Groups:
        rows = len(near.row)
        close = near.distance <= radius
        start = np.broadcast_to(np.arange(rows)[:, None], close.shape)[close]
        group = connected(rows, start, near.row[close])
        size = np.bincount(group)
        inside = np.bincount(group[:batch], minlength=len(size))
        number = np.flatnonzero(size > 1)
        return cls(group, number, inside[number], size[number], radius)


def _pairs_p(groups: _Groups, pair: Pair) -> float:
    """P-value of the number of pairs inside the batch."""
    if not len(groups.size):
        return 1.0
    b, m, rows = groups.inside, len(pair.batch), len(groups.group)
    rng = np.random.default_rng(pair.seed)
    kinds = np.append(groups.size, rows - groups.size.sum())

    def draw(count: int) -> npt.NDArray[np.float64]:
        draws = rng.multivariate_hypergeometric(kinds, m, count)[:, :-1]
        return np.asarray((draws * (draws - 1.0)).sum(1) / 2, dtype=np.float64)

    # Pairs are counted: nothing is rounded.
    pairs = float((b * (b - 1)).sum() / 2)
    most = 2 * pair.permutations
    return permutation_p(pairs, draw, permutations=most, slack=0.0, finer=FINER)


def _small_p(groups: _Groups, pair: Pair) -> float:
    return small_groups_p(
        groups.inside,
        groups.size,
        batch=len(pair.batch),
        rows=len(groups.group),
        permutations=2 * pair.permutations,
        seed=pair.seed + 1,
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
