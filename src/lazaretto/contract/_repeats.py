"""Which record ids of a batch are there more than once."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEW_ROWS, FEW_BYTES = 20_000, 8 * 2**20
"""Up to so many ids, and bytes of them, the ids themselves are kept and compared."""


class Repeats:
    """Looks at ids chunk by chunk.

    Few ids are compared as they are. Of many that takes more memory than all else that validation
    does, so that two hashes of each are compared (128 bits), by seeds that nobody can know
    beforehand.
    """

    def __init__(self) -> None:
        self._seeds = (secrets.randbits(63), secrets.randbits(63))
        self._ids: list[pa.Array] = []
        self._hashes: list[tuple[NDArray[np.uint64], NDArray[np.uint64]]] = []
        self._rows = self._bytes = 0

    def take(self, ids: pa.Array) -> None:
        """Looks at the next ids."""
        self._ids.append(ids)
        self._rows += len(ids)
        self._bytes += ids.nbytes
        if self._rows > FEW_ROWS or self._bytes > FEW_BYTES:
            self._hashes += [_hashes(part, self._seeds) for part in self._ids]
            self._ids.clear()

    def found(self) -> NDArray[np.bool_]:
        """Whether each id, in the order they came, is there more than once."""
        if self._hashes:
            first, second = (np.concatenate(one) for one in zip(*self._hashes, strict=True))
            self._hashes.clear()
            return _repeated(first, second)
        ids = pa.chunked_array(self._ids, pa.string()).combine_chunks()
        number = ids.dictionary_encode(null_encoding="encode").indices.to_numpy()
        return np.asarray(np.bincount(number)[number] > 1)


def repeated_numbers(numbers: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Whether each number is there more than once.

    Sorting takes a twentieth of the time of grouping, and a copy of the numbers as memory.

    Args:
        numbers: uint64 (n,).

    Returns:
        bool (n,).

    Examples:
        >>> repeated_numbers(np.array([5, 7, 5], dtype=np.uint64)).tolist()
        [True, False, True]
    """
    ordered = np.sort(numbers)
    again = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    if not len(again):
        return np.zeros(len(numbers), np.bool_)
    place = np.searchsorted(again, numbers)
    place[place == len(again)] = 0
    return np.asarray(again[place] == numbers)


def _hashes(ids: pa.Array, seeds: tuple[int, int]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Two hashes of each id, uint64 (n,)."""
    import polars as pl

    series = pl.Series(ids)
    return series.hash(seeds[0]).to_numpy(), series.hash(seeds[1]).to_numpy()


def _repeated(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Those whose two hashes are there more than once."""
    import polars as pl

    repeated = repeated_numbers(first)
    at = np.flatnonzero(repeated)
    if len(at):
        # Few share a hash by chance: the second is looked at only where the first is shared.
        both = pl.DataFrame({"a": first[at], "b": second[at]})
        repeated[at] = both.is_duplicated().to_numpy()
    return repeated
