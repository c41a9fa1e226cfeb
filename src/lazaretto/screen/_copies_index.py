"""The search for copies among the fingerprints of some batches, bounded in work and memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from lazaretto.detect.arrays import Ints
    from lazaretto.screen._prints import Prints, Words

NEAR = 7
"""Near copies differ in at most so many of their 64 bits, and in fewer where trusted rows do."""
_BANDS = NEAR + 1
_BLOCK = 2**20
_DIRECT = 2**21
"""Up to so many pairs are compared without bands, which then cost more than they save."""
MOST = 4 * 10**9
"""Pairs of sketches that are compared for one batch, at most: some seconds."""
_ODD = np.int64(-7046029254386353131)


@dataclass(frozen=True, slots=True)
class Copies:
    """Copies of n records in b batches.

    Attributes:
        all: int64 (n, b), how many.
        other: int64 (n, b), those among them that carry another label.
    """

    all: Ints
    other: Ints

    @classmethod
    def none(cls, records: int, batches: int) -> Copies:
        """No copies."""
        shape = records, batches
        return cls(np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64))

    def columns(self, chosen: Sequence[int]) -> Copies:
        """Those in some of the batches."""
        return Copies(self.all[:, chosen], self.other[:, chosen])


@dataclass(frozen=True, slots=True)
class Counted:
    """Copies of records in batches.

    Attributes:
        equal: those with the same content.
        near: those with nearly the same vector, the equal ones included.
        searched: of each batch, whether near copies were looked for.
    """

    equal: Copies
    near: Copies
    searched: tuple[bool, ...]


def count_copies(
    own: Prints,
    batches: Sequence[Prints],
    *,
    content: Sequence[bool],
    near: Sequence[bool],
    bits: int = NEAR,
    most: int = MOST,
) -> Counted:
    """Counts copies of each record in each batch.

    Equal contents are found by sorted keys. Near copies are pairs of sketches that differ in at
    most some bits; see `near_pairs`. Work is counted before it is done: a batch for which none is
    left is searched for equal contents only.

    Args:
        own: the records.
        batches: fingerprints of the batches, the first ones first in line for the work.
        content: of each batch, whether its contents are hashes of the same columns.
        near: of each batch, whether its vectors are of the same encoder.
        bits: in which near copies may differ, up to `NEAR`.
        most: pairs of sketches to compare, at most.
    """
    equal, beside = (Copies.none(len(own), len(batches)) for _ in range(2))
    mine, rows = _distinct(own)
    left, searched, together = most, [False] * len(batches), list[_Part]()
    for number, batch in enumerate(batches):
        if content[number]:
            same, alike = _equal(own, batch)
            equal.all[:, number], equal.other[:, number] = same, same - alike
        if near[number]:
            part = _Part.of(batch, number)
            work = _work(mine.sketch, part.sketch)
            if work <= left:
                left, searched[number] = left - work, True
                together.append(part)
    if together:
        found = _near(mine, together, len(batches), bits)
        beside = Copies(found.all[rows], found.other[rows])
    near_or_equal = Copies(np.maximum(beside.all, equal.all), np.maximum(beside.other, equal.other))
    return Counted(equal, near_or_equal, tuple(searched))


@dataclass(frozen=True, slots=True)
class _Part:
    """Distinct sketches and labels of a batch, and how many records have each."""

    number: int
    sketch: Words
    label: Ints
    times: Ints

    @classmethod
    def of(cls, batch: Prints, number: int) -> _Part:
        few, rows = _distinct(batch)
        return cls(number, few.sketch, few.label, np.bincount(rows, minlength=len(few)))


def _near(mine: Prints, parts: Sequence[_Part], batches: int, bits: int) -> Copies:
    """Near copies of each record in each batch."""
    sketch = np.concatenate([part.sketch for part in parts])
    label = np.concatenate([part.label for part in parts])
    times = np.concatenate([part.times for part in parts])
    batch = np.repeat([part.number for part in parts], [len(part.sketch) for part in parts])
    found = Copies.none(len(mine), batches)
    for here, there in near_pairs(mine.sketch, sketch, bits):
        np.add.at(found.all, (here, batch[there]), times[there])
        differs = mine.label[here] != label[there]
        np.add.at(found.other, (here[differs], batch[there[differs]]), times[there[differs]])
    return found


def near_pairs(one: Words, two: Words, bits: int = NEAR) -> Iterator[tuple[Ints, Ints]]:
    """All pairs of sketches that differ in at most some bits, each once, some at a time.

    Cut in one band more than that, two sketches agree in a band (Manku, Jain and Sarma, "Detecting
    near-duplicates for web crawling", WWW 2007, section 3). Only such pairs are compared: of random
    sketches, one pair in 32.

    Args:
        one: uint64 (n,).
        two: uint64 (m,).
        bits: up to `NEAR`.

    Yields:
        Places in the first and in the second, int64, of the same length.
    """
    if len(one) * len(two) <= _DIRECT:
        yield from _compared(one, two, np.arange(len(one)), np.arange(len(two)), 0, bits)
        return
    for band in range(_BANDS):
        mine, theirs = _band(one, band), _band(two, band)
        first, second = np.argsort(mine, kind="stable"), np.argsort(theirs, kind="stable")
        ends = [np.bincount(side, minlength=256).cumsum()[:-1] for side in (mine, theirs)]
        parts = zip(np.split(first, ends[0]), np.split(second, ends[1]), strict=True)
        for here, there in parts:
            yield from _compared(one, two, here, there, band, bits)


def _compared(
    one: Words, two: Words, here: Ints, there: Ints, band: int, bits: int
) -> Iterator[tuple[Ints, Ints]]:
    """The near pairs among some of either side, but for those that agree in an earlier band."""
    if not len(here) or not len(there):
        return
    wide = min(len(there), _BLOCK)
    tall = max(1, _BLOCK // wide)
    for right in range(0, len(there), wide):
        columns = there[right : right + wide]
        for top in range(0, len(here), tall):
            rows = here[top : top + tall]
            differ = one[rows][:, None] ^ two[columns][None, :]
            i, j = np.nonzero(np.bitwise_count(differ) <= bits)
            if band:
                found, fresh = differ[i, j], np.ones(len(i), dtype=bool)
                for before in range(band):
                    fresh &= _band(found, before) != 0
                i, j = i[fresh], j[fresh]
            if len(i):
                yield rows[i], columns[j]


def _band(sketch: Words, number: int) -> npt.NDArray[np.uint8]:
    """A byte of each sketch."""
    return ((sketch >> np.uint64(8 * number)) & np.uint64(255)).astype(np.uint8)


def _work(one: Words, two: Words) -> int:
    """How many pairs `near_pairs` compares."""
    if len(one) * len(two) <= _DIRECT:
        return len(one) * len(two)
    counts = (
        np.bincount(_band(one, band), minlength=256) @ np.bincount(_band(two, band), minlength=256)
        for band in range(_BANDS)
    )
    return int(sum(counts))


def _distinct(prints: Prints) -> tuple[Prints, Ints]:
    """Distinct pairs of sketch and label, and of each record which one it is.

    A flood of one text is then as cheap as one record.
    """
    order = np.lexsort((prints.label, prints.sketch))
    sketch, label = prints.sketch[order], prints.label[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (sketch[1:] != sketch[:-1]) | (label[1:] != label[:-1])
    rows = np.empty(len(order), dtype=np.int64)
    rows[order] = np.cumsum(new) - 1
    return prints.take(order[new]), rows


def _equal(own: Prints, batch: Prints) -> tuple[Ints, Ints]:
    """Records of a batch with each record's content, and with its content and label."""
    return (
        _times(own.content, batch.content),
        _times(own.content ^ own.label * _ODD, batch.content ^ batch.label * _ODD),
    )


def _times(wanted: Ints, keys: Ints) -> Ints:
    ordered = np.sort(keys)
    low, high = (np.searchsorted(ordered, wanted, side=side) for side in ("left", "right"))
    return np.asarray(high - low, dtype=np.int64)
