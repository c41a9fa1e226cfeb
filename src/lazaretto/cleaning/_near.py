"""Texts that are nearly the same: MinHash over character 5-grams, found by bands of the hashes.

A. Broder, "On the resemblance and containment of documents" (1997), section 3; bands as in J.
Leskovec, A. Rajaraman and J. Ullman, "Mining of Massive Datasets" (2020), section 3.4. All records
of a chunk are hashed at once in numpy: the library datasketch makes one object per record, and
takes a hundred times as long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.cleaning._keys import same_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

BANDS, _ROWS = 12, 5
HASHES = BANDS * _ROWS
"""Hashes of a sketch: a byte of each is kept to compare by, and `BANDS` keys to find by."""
_SHINGLE = 5
_FEWEST = 10
"""Texts with fewer 5-grams are not compared: a letter more or less makes another text of them."""
_LONGEST = 10_000
"""Characters of a text that are looked at."""
_AT_ONCE = 2**16
"""Characters that are hashed at once, about: what the cache of a core holds."""

_RANDOM = np.random.Generator(np.random.PCG64(20_240_613))
_MULTIPLY = _RANDOM.integers(0, 2**32, HASHES, dtype=np.uint32) | np.uint32(1)
_MIX = _RANDOM.integers(0, 2**32, HASHES, dtype=np.uint32)
_WEIGHTS = _RANDOM.integers(0, 2**63, _SHINGLE, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


@dataclass(frozen=True, slots=True)
class Sketches:
    """What is kept of texts.

    Attributes:
        bytes: (n, HASHES) uint8: how much two agree is about how similar the texts are.
        bands: (n, BANDS) int64: two similar texts have one in common.
        there: whether a text is long enough to be compared.
    """

    bytes: NDArray[np.uint8]
    bands: NDArray[np.int64]
    there: NDArray[np.bool_]

    @classmethod
    def joined(cls, parts: list[Sketches]) -> Sketches:
        """All of them, one behind the other."""
        return cls(
            np.concatenate([np.zeros((0, HASHES), np.uint8), *(part.bytes for part in parts)]),
            np.concatenate([np.zeros((0, BANDS), np.int64), *(part.bands for part in parts)]),
            np.concatenate([np.zeros(0, np.bool_), *(part.there for part in parts)]),
        )


def sketches(texts: pa.Array) -> Sketches:
    """Sketches of texts.

    Args:
        texts: string, without nulls.

    Examples:
        >>> found = sketches(pa.array(["the quick brown fox", "The  quick brown fox"]))
        >>> float(similarity(found.bytes[:1], found.bytes[1:])[0])
        1.0
    """
    plain = pc.utf8_slice_codeunits(same_text(texts), 0, _LONGEST)
    lengths = pc.utf8_length(plain).to_numpy(zero_copy_only=False).astype(np.int64)
    parts = [
        _sketch(plain.slice(start, many), lengths[start : start + many])
        for start, many in _portions(lengths)
    ]
    return Sketches.joined(parts)


def similarity(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Estimated Jaccard similarity of texts by their sketches, row by row; its error is about 0.05.

    One byte of two different hashes is the same in one case of 256, which is taken off.

    Examples:
        >>> sketch = np.arange(8, dtype=np.uint8).reshape(1, 8)
        >>> similarity(sketch, sketch).tolist()
        [1.0]
    """
    same = (one == other).mean(axis=1)
    result: NDArray[np.float64] = np.clip((same - 1 / 256) / (1 - 1 / 256), 0.0, 1.0)
    return result


def near_before(found: Sketches, least: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each text an earlier one that is nearly the same, and how similar they are.

    Args:
        found: sketches of all texts in their order.
        least: similarity from which on they are nearly the same.

    Returns:
        Positions, a text's own where there is none before it; and similarities.
    """
    count = len(found.there)
    first, best = np.arange(count, dtype=np.int64), np.zeros(count)
    rows = np.flatnonzero(found.there)
    for band in range(BANDS):
        keys = found.bands[rows, band]
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        new = np.ones(len(rows), dtype=np.bool_)
        new[1:] = ordered[1:] != ordered[:-1]
        leads = order[np.maximum.accumulate(np.where(new, np.arange(len(rows)), 0))]
        mine, theirs = rows[order], rows[leads]
        pairs = mine != theirs
        mine, theirs = mine[pairs], theirs[pairs]
        how = similarity(found.bytes[mine], found.bytes[theirs])
        better = (how >= least) & (how > best[mine])
        first[mine[better]], best[mine[better]] = theirs[better], how[better]
    return first, best


def _portions(lengths: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Runs of texts that are in memory at once: start, and how many."""
    start, ends = 0, np.cumsum(lengths)
    while start < len(lengths):
        before = int(ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(ends, before + _AT_ONCE)), start + 1)
        yield start, min(stop, len(lengths)) - start
        start = stop


def _sketch(texts: pa.Array, lengths: NDArray[np.int64]) -> Sketches:
    count = len(texts)
    there = lengths >= _FEWEST + _SHINGLE - 1
    letters = np.frombuffer("".join(texts.to_pylist()).encode("utf-32-le"), "<u4")
    ends = np.cumsum(lengths)
    starts, many = (ends - lengths)[there], (lengths - _SHINGLE + 1)[there]
    bands, low = np.zeros((count, BANDS), np.int64), np.zeros((count, HASHES), np.uint8)
    if not len(many):
        return Sketches(low, bands, there)
    begins = np.cumsum(many) - many
    at = np.arange(int(many.sum())) + np.repeat(starts - begins, many)
    mixed = np.zeros(len(at), np.uint64)
    for number, weight in enumerate(_WEIGHTS):
        mixed += (letters[at + number].astype(np.uint64) + np.uint64(1)) * weight
        mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    grams = (mixed >> np.uint64(32)).astype(np.uint32)
    least, hashed = np.empty((HASHES, len(many)), np.uint32), np.empty_like(grams)
    for number in range(HASHES):
        np.bitwise_xor(grams, _MIX[number], out=hashed)
        np.multiply(hashed, _MULTIPLY[number], out=hashed)
        np.minimum.reduceat(hashed, begins, out=least[number])
    least ^= least >> np.uint32(16)
    low[there] = (least & np.uint32(0xFF)).astype(np.uint8).T
    rows = least.reshape(BANDS, _ROWS, -1).astype(np.uint64)
    for band in range(BANDS):
        key = np.full(len(many), band + 1, np.uint64)
        for row in rows[band]:
            key = (key ^ row) * np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(32)
        bands[there, band] = key.view(np.int64)
    return Sketches(low, bands, there)
