"""The search for neighbourhoods: odd records that lie together as odd trusted ones do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.stats.counts import hypergeometric

if TYPE_CHECKING:
    import numpy.typing as npt

    from lazaretto.detect.arrays import Floats, Ints

    Mask = npt.NDArray[np.bool_]

SUSPECT = 0.2
"""Records and calibration rows up to this p-value are looked at."""
MOST = 1500
"""Of a batch's records, so many are looked at, at most: those with the smallest p-values."""
SIZES = (5, 7, 10, 14, 20, 28, 40)
"""Rows of a neighbourhood."""
FEWEST = 5
"""Of a class, so many suspects of either side must be there for it to be looked at."""
PERMUTATIONS = 4000
"""At most. The same whatever the level, so that what is found at another one can be told later."""
ENOUGH = 25
"""Permutations that are as extreme, after which it is clear that there is nothing."""
HIGHEST = 0.1
"""No policy asks for a higher level."""
MANY = 4
"""Where a suspect is in so many neighbourhoods that stand out, one is not enough to be named."""
_BLOCK = 25
_LEAST = 1e-300
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Suspects:
    """Rows that look odd, of a batch and of the calibration, one class behind the other.

    Attributes:
        vector: float32 (s, d), whitened and of length 1.
        label: int64 (s,), class of each.
        batch: bool (s,), whether it is a record of the batch.
        p_value: float64 (s,), how odd it is.
    """

    vector: Floats
    label: Ints
    batch: Mask
    p_value: Floats


@dataclass(frozen=True, slots=True)
class Scan:
    """What the search found.

    Attributes:
        p_value: of the neighbourhood that stands out most, over all of them.
        label: its class.
        size: its rows.
        count: records of the batch among them.
        expected: their mean number if sides were drawn at random.
        level: float64 (s,), the smallest level at which each record of the batch is named: it is in
            the inner half of a neighbourhood that stands out then; of two where many do. Infinite:
            at none up to `HIGHEST`.
    """

    p_value: float
    label: int
    size: int
    count: int
    expected: float
    level: Floats


def scan(suspects: Suspects, *, seed: int, permutations: int = PERMUTATIONS) -> Scan | None:
    """Looks for neighbourhoods in which records of the batch crowd.

    Where a batch is like the calibration, so are its odd records like the odd calibration rows: who
    of them is of which side is chance. Poison of one kind is odd in one way. So around each suspect
    the nearest suspects of its class are counted that are of the batch. How rare such a count is,
    sides drawn at random, is hypergeometric. The rarest is compared with what it is when sides are
    permuted within each class (Kulldorff, 1997, "A spatial scan statistic"; permuted after Besag
    and Clifford, 1991).

    Not all neighbourhoods are believed alike. Poison lies close together and is very odd, so
    neighbourhoods are ranked by how near their rows are to each other, and by how odd they are, and
    the one of place r has a weight of ``1 / r`` (weighted hypotheses: Genovese, Roeder and
    Wasserman, 2006, section 2). Ranks do not know who is of which side, so nothing of what is
    promised changes. Of 1 % triggers among texts, p is a third to a ninth of what it is without.

    Each neighbourhood has the level from which on it stands out: the share of the permutations that
    reach what it has anywhere. At a level of alpha all that stand out are named at once: the chance
    that any is named in a clean batch is alpha (Westfall and Young, 1993, section 2.3).

    Where no permutation is as extreme, the weighted sum of the chances is a bound (Bonferroni), and
    counts where it is smaller than permutations can tell.

    Args:
        suspects: of both sides.
        seed: of the permutations.
        permutations: at most.

    Returns:
        None where no class has `FEWEST` suspects of either side.
    """
    parts = [
        part
        for number in np.unique(suspects.label).tolist()
        for part in [_part(suspects, np.flatnonzero(suspects.label == number))]
        if part is not None
    ]
    if not parts:
        return None
    observed = [part.rarity(suspects.batch[part.rows][None])[0] for part in parts]
    peaks = [float(rarity.max()) for rarity in observed]
    best = int(np.argmax(peaks))
    rng, drawn = np.random.default_rng(seed), list[float]()
    extreme = 0
    while len(drawn) < permutations and extreme < ENOUGH:
        block = [
            part.rarity(rng.permuted(np.tile(suspects.batch[part.rows], (_BLOCK, 1)), axis=1))
            for part in parts
        ]
        new = np.max([rarity.max((1, 2)) for rarity in block], axis=0)
        extreme += int((new >= peaks[best] - _ROUNDING).sum())
        drawn += new.tolist()
    null, bound = np.sort(drawn), sum(part.weights for part in parts)
    stands_out = [_level(rarity, null, bound) for rarity in observed]
    level = _named_from(parts, stands_out, len(suspects.batch))
    level[~suspects.batch] = np.inf
    part, rarity = parts[best], observed[best]
    center, column = divmod(int(rarity.argmax()), rarity.shape[1])
    width = part.sizes[column]
    sides = suspects.batch[part.rows]
    count = int(sides[part.near[center, :width]].sum())
    label, p_value = int(suspects.label[part.rows[0]]), float(stands_out[best][center, column])
    return Scan(p_value, label, width, count, width * float(sides.mean()), level)


def _level(rarity: Floats, null: Floats, bound: float) -> Floats:
    """The level from which on each neighbourhood stands out, as `rarity`.

    Args:
        rarity: float64, of each.
        null: float64 (draws,), the largest of each permutation, ascending.
        bound: sum of all weights.
    """
    extreme = len(null) - np.searchsorted(null, rarity - _ROUNDING)
    level = (1 + extreme) / (1 + len(null))
    return np.where(extreme == 0, np.minimum(level, np.exp(-rarity) * bound), level)


def _named_from(parts: list[_Part], stands_out: list[Floats], suspects: int) -> Floats:
    """The level from which on each suspect is named; infinite: at none up to `HIGHEST`.

    In one neighbourhood that stands out it is named. Once a suspect is in `MANY` of them, what lies
    in one alone is at their edge: from there on, two are needed.

    Args:
        parts: the suspects by class.
        stands_out: of each, the level of its neighbourhoods.
        suspects: of all classes.
    """
    told = [one.inner(level) for one, level in zip(parts, stands_out, strict=True)]
    row, level = (np.concatenate(column) for column in zip(*told, strict=True))
    order = np.lexsort((level, row))
    row, level = row[order], level[order]
    first = np.searchsorted(row, np.arange(suspects))
    count = np.bincount(row, minlength=suspects)

    def nth(number: int) -> Floats:
        found = np.full(suspects, np.inf)
        there = count >= number
        found[there] = level[first[there] + number - 1]
        return found

    once, twice = nth(1), nth(2)
    return np.where(once < nth(MANY).min(initial=np.inf), once, twice)


@dataclass(frozen=True, slots=True)
class _Part:
    """The suspects of one class.

    Attributes:
        rows: int64 (n,), their places.
        near: int64 (n, k), for each the nearest of them, itself first.
        sizes: of neighbourhoods, those that fit.
        chance: for each size, minus the logarithm of P(at least so many are of the batch), by
            count, float64 (size + 1,).
        belief: float64 (n, sizes), logarithm of the weight of each neighbourhood.
    """

    rows: Ints
    near: Ints
    sizes: tuple[int, ...]
    chance: tuple[Floats, ...]
    belief: Floats

    @property
    def weights(self) -> float:
        """Sum of the weights of all neighbourhoods."""
        return float(np.exp(self.belief).sum())

    def inner(self, level: Floats) -> tuple[Ints, Floats]:
        """The suspects in the inner half of each neighbourhood, and its level, up to `HIGHEST`.

        Not all that are in it: at its edge are ordinary records.

        Args:
            level: float64 (n, sizes), from which on each stands out.
        """
        rows, levels = [np.empty(0, dtype=np.int64)], [np.empty(0)]
        for column, size in enumerate(self.sizes):
            centers = np.flatnonzero(level[:, column] <= HIGHEST)
            half = (size + 1) // 2
            rows.append(self.rows[self.near[centers, :half].ravel()])
            levels.append(np.repeat(level[centers, column], half))
        return np.concatenate(rows), np.concatenate(levels)

    def rarity(self, sides: Mask) -> Floats:
        """How rare the count of each neighbourhood is, weighted, float64 (draws, n, sizes).

        Args:
            sides: bool (draws, n), which are of the batch.
        """
        draws = np.ascontiguousarray(sides.T).view(np.int8)  # rows of them are added up at once
        count = np.zeros(sides.shape[::-1], dtype=np.int16)
        rarity: Floats = np.empty((*sides.shape, len(self.sizes)))
        inner = 0
        for column, size in enumerate(self.sizes):
            count += draws[self.near.T[inner:size]].sum(0, dtype=np.int16)
            rarity[:, :, column] = (self.chance[column][count] + self.belief[:, column, None]).T
            inner = size
        return rarity


def _part(suspects: Suspects, rows: Ints) -> _Part | None:
    sides = suspects.batch[rows]
    mine = int(sides.sum())
    if min(mine, len(rows) - mine) < FEWEST:
        return None
    sizes = tuple(size for size in SIZES if size <= max(FEWEST, len(rows) // 2))
    vector = suspects.vector[rows]
    similar = vector @ vector.T
    np.fill_diagonal(similar, np.inf)
    width = min(sizes[-1], len(rows))
    near = np.argpartition(-similar, width - 1, axis=1)[:, :width]
    order = np.argsort(-np.take_along_axis(similar, near, 1), axis=1, kind="stable")
    near = np.take_along_axis(near, order, 1)
    odd = -np.log(suspects.p_value[rows])[near].cumsum(axis=1)
    belief = np.empty((len(rows), len(sizes)))
    for column, size in enumerate(sizes):
        edge = similar[np.arange(len(rows)), near[:, size - 1]]
        place = np.log(_places(edge) * _places(odd[:, size - 1]))
        belief[:, column] = -np.log(_places(-place))
    chance = tuple(_rarity(len(rows), mine, size) for size in sizes)
    return _Part(rows, near, sizes, chance, belief)


def _places(values: Floats) -> Ints:
    """Place of each by its value, the largest first, from 1 on; int64 (n,)."""
    places = np.empty(len(values), dtype=np.int64)
    places[np.argsort(-values, kind="stable")] = np.arange(1, len(values) + 1)
    return places


def _rarity(total: int, mine: int, size: int) -> Floats:
    """Minus the logarithm of P(at least k of `size` are of the batch), for k from 0 to `size`."""
    lowest, mass = hypergeometric(total, mine, size)
    tail = np.ones(size + 1)
    above = mass[::-1].cumsum()[::-1]
    tail[lowest : lowest + len(above)] = above
    tail[lowest + len(above) :] = 0.0
    return -np.log(np.clip(tail, _LEAST, 1.0))
