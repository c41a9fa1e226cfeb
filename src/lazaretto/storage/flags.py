"""Flags of records: which rules that only warn each of them broke."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lazaretto.storage.sidecars import read_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lazaretto.storage.store import Store
    from lazaretto.values import StoredFile


class Flags:
    """Flags of a batch, by the position of its records.

    Args:
        table: ``position`` in ascending order, and ``rule``.

    Examples:
        >>> import pyarrow as pa
        >>> flags = Flags(pa.table({"position": [1, 1, 4], "rule": ["a", "b", "a"]}))
        >>> flags.of(np.array([0, 1, 4])).to_pylist()
        [None, ['a', 'b'], ['a']]
    """

    def __init__(self, table: pa.Table) -> None:
        self._positions = table["position"].to_numpy().astype(np.int64)
        self._rules = table["rule"].combine_chunks().dictionary_encode()

    def of(self, positions: NDArray[np.int64]) -> pa.Array:
        """Names of rules for some records, list of string; null of those that have no flag."""
        first = np.searchsorted(self._positions, positions, side="left")
        counts = np.searchsorted(self._positions, positions, side="right") - first
        ends = np.cumsum(counts)
        within = np.arange(counts.sum()) - np.repeat(ends - counts, counts)
        rules = self._rules.take(pa.array(np.repeat(first, counts) + within)).cast(pa.string())
        offsets = pa.array(np.concatenate([[0], ends]).astype(np.int32))
        return pa.ListArray.from_arrays(offsets, rules, mask=pa.array(counts == 0))


def read_flags(store: Store, file: StoredFile | None) -> Flags | None:
    """The flags in a file of the store; None where there is none.

    Raises:
        ChangedFileError: it is gone, or is not the one that is on record.
    """
    return None if file is None else Flags(read_table(store, file))
