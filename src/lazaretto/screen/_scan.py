"""The search for neighbourhoods: odd records that lie together as odd trusted ones do not."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from lazaretto.detect.arrays import Floats, Ints

    Mask = npt.NDArray[np.bool_]

SUSPECT = 0.2
"""Records and calibration rows up to this p-value are looked at."""
MOST = 1500
"""Of a batch's records, so many are looked at, at most: those with the smallest p-values."""
SIZES = (5, 10, 20, 40)
"""Rows of a neighbourhood."""
FEWEST = 5
"""Of a class, so many suspects of either side must be there for it to be looked at."""
ENOUGH = 25
"""Permutations that are as extreme, after which it is clear that there is nothing."""
_BLOCK = 25


@dataclass(frozen=True, slots=True)
class Suspects:
    """Rows that look odd, of a batch and of the calibration, one class behind the other.

    Attributes:
        vector: float32 (s, d), whitened and of length 1.
        label: int64 (s,), class of each.
        batch: bool (s,), whether it is a record of the batch.
    """

    vector: Floats
    label: Ints
    batch: Mask


@dataclass(frozen=True, slots=True)
class Scan:
    """What the search found.

    Attributes:
        p_value: of the neighbourhood with the largest excess of records of the batch.
        label: its class.
        size: its rows.
        count: records of the batch among them.
        expected: their mean number if sides were drawn at random.
        members: bool (s,), records of the batch in the inner half of one that stands out.
    """

    p_value: float
    label: int
    size: int
    count: int
    expected: float
    members: Mask


def scan(suspects: Suspects, *, alpha: float, seed: int) -> Scan | None:
    """Looks for neighbourhoods in which records of the batch crowd.

    Where a batch is like the calibration, so are its odd records like the odd calibration rows: who
    of them is of which side is chance. Poison of one kind is odd in one way. So around each suspect
    the nearest suspects of its class are counted that are of the batch, and the largest excess, in
    standard deviations, is compared with what it is when sides are permuted within each class
    (Kulldorff, 1997, "A spatial scan statistic"; permuted after Besag and Clifford, 1991).

    All neighbourhoods beyond what the largest one reaches in a share of `alpha` of the permutations
    are named at once: the chance that any is named in a clean batch is `alpha` (Westfall and Young,
    1993, section 2.3).

    Args:
        suspects: of both sides.
        alpha: level.
        seed: of the permutations.

    Returns:
        None where no class has `FEWEST` suspects of either side.
    """
    parts = [
        part
        for number in np.unique(suspects.label).tolist()
        for part in [_part(suspects, np.flatnonzero(suspects.label == number))]
        if part is not None
    ]
    if not parts or alpha <= 0:
        return None
    observed = [part.excess(suspects.batch[part.rows][None])[0] for part in parts]
    peaks = [float(excess.max()) for excess in observed]
    best = int(np.argmax(peaks))
    rng, drawn = np.random.default_rng(seed), list[float]()
    permutations = ceil(2 / alpha)
    while len(drawn) < permutations:
        if sum(peak >= peaks[best] - 1e-9 for peak in drawn) >= ENOUGH:
            break
        block = [
            part.excess(rng.permuted(np.tile(suspects.batch[part.rows], (_BLOCK, 1)), axis=1))
            for part in parts
        ]
        drawn += np.max([excess.max((1, 2)) for excess in block], axis=0).tolist()
    extreme = sum(peak >= peaks[best] - 1e-9 for peak in drawn)
    p_value = (1 + extreme) / (1 + len(drawn))
    members = np.zeros(len(suspects.batch), dtype=bool)
    if p_value <= alpha:
        bar = sorted(drawn, reverse=True)[max(0, int(alpha * (len(drawn) + 1)) - 1)]
        for one, found in zip(parts, observed, strict=True):
            members |= one.named(found > bar + 1e-9, len(members))
        members &= suspects.batch
    part, excess = parts[best], observed[best]
    center, column = divmod(int(excess.argmax()), excess.shape[1])
    width = part.sizes[column]
    sides = suspects.batch[part.rows]
    count = int(sides[part.near[center, :width]].sum())
    label = int(suspects.label[part.rows[0]])
    return Scan(p_value, label, width, count, width * float(sides.mean()), members)


@dataclass(frozen=True, slots=True)
class _Part:
    """The suspects of one class.

    Attributes:
        rows: int64 (n,), their places.
        near: int64 (n, k), for each the nearest of them, itself first.
        sizes: of neighbourhoods, those that fit.
        share: of them that are of the batch.
    """

    rows: Ints
    near: Ints
    sizes: tuple[int, ...]
    share: float

    def named(self, stands_out: Mask, suspects: int) -> Mask:
        """The suspects in the inner half of a neighbourhood that stands out, bool (suspects,).

        Not all that lie in such a one: at its edge are ordinary records.

        Args:
            stands_out: bool (n, sizes).
            suspects: of all classes.
        """
        members = np.zeros(suspects, dtype=bool)
        for column, size in enumerate(self.sizes):
            centers = np.flatnonzero(stands_out[:, column])
            members[self.rows[self.near[centers, : (size + 1) // 2].ravel()]] = True
        return members

    def excess(self, sides: Mask) -> Floats:
        """Excess of the batch in each neighbourhood, float64 (draws, n, sizes), in deviations.

        Args:
            sides: bool (draws, n), which are of the batch.
        """
        draws = np.ascontiguousarray(sides.T).view(np.int8)  # rows of them are added up at once
        count = np.zeros(sides.shape[::-1], dtype=np.int16)
        excess: Floats = np.empty((*sides.shape, len(self.sizes)))
        inner = 0
        for column, size in enumerate(self.sizes):
            count += draws[self.near.T[inner:size]].sum(0, dtype=np.int16)
            spread = np.sqrt(size * self.share * (1 - self.share))
            excess[:, :, column] = ((count - size * self.share) / spread).T
            inner = size
        return excess


def _part(suspects: Suspects, rows: Ints) -> _Part | None:
    sides = suspects.batch[rows]
    if min(int(sides.sum()), int((~sides).sum())) < FEWEST:
        return None
    sizes = tuple(size for size in SIZES if size <= max(FEWEST, len(rows) // 2))
    vector = suspects.vector[rows]
    similar = vector @ vector.T
    np.fill_diagonal(similar, np.inf)
    width = min(sizes[-1], len(rows))
    near = np.argpartition(-similar, width - 1, axis=1)[:, :width]
    order = np.argsort(-np.take_along_axis(similar, near, 1), axis=1, kind="stable")
    return _Part(rows, np.take_along_axis(near, order, 1), sizes, float(sides.mean()))
