"""Signs of a fault in whole rows: rows that come again and again, as by a join or a retry."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import exp, lgamma, log
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.drift._signs import Sign

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST_SHARE = 0.25
"""From this share of rows that repeat another row of the batch, rows were repeated."""
FEWEST_COLUMNS = 2
"""Of fewer columns any two rows may well be the same."""
_SLACK = 3.0
"""How many times the reference's rate of equal pairs still counts as its own."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """How often two rows of a reference are the same.

    Attributes:
        columns: that were compared.
        rows: of the reference that were compared.
        pairs: of them that are the same.
    """

    columns: tuple[str, ...]
    rows: int
    pairs: int

    @classmethod
    def of(cls, columns: Sequence[str], table: pa.Table) -> Repeats:
        """Of some columns of trusted rows."""
        _, counts = np.unique(row_keys(table.select(list(columns))), return_counts=True)
        pairs = int((counts * (counts - 1) // 2).sum())
        return cls(tuple(columns), table.num_rows, pairs)


def repeated_rows(known: Repeats, columns: dict[str, pa.ChunkedArray]) -> list[Sign]:
    """Whether rows of a batch repeat each other more than trusted rows do.

    Args:
        known: how often trusted rows do.
        columns: the batch's, by name.
    """
    there = [name for name in known.columns if name in columns]
    if len(there) < FEWEST_COLUMNS or len(there) < len(known.columns):
        return []
    keys = row_keys(pa.table({name: columns[name] for name in there}))
    _, counts = np.unique(keys, return_counts=True)
    m, repeats = len(keys), int(len(keys) - len(counts))
    pairs = int((counts * (counts - 1) // 2).sum())
    if repeats < LEAST_SHARE * m:
        return []
    usual = _SLACK * (known.pairs + 1) / max(1.0, known.rows * (known.rows - 1) / 2)
    expected = usual * m * (m - 1) / 2
    # A group of many equal rows is many pairs: only as many as there are repeats count.
    chance = _poisson_tail(min(pairs, repeats), expected)
    what = f"{repeats / m:.0%} of the rows repeat another row of the batch"
    if pairs and known.pairs:
        what += f" ({2 * known.pairs / max(1, known.rows):.1%} of trusted ones at most)"
    return [Sign("repeated_rows", (), what, chance, 1.0)]


def row_keys(table: pa.Table) -> np.ndarray[tuple[int], np.dtype[np.bytes_]]:
    """A key for each row of flat columns: equal rows have equal keys."""
    texts = [
        pc.fill_null(pc.cast(table[name], pa.large_string()), "\0") for name in table.schema.names
    ]
    joined = pc.binary_join_element_wise(*texts, pa.scalar("\x1f", pa.large_string()))
    digests = [hashlib.blake2b(row.encode(), digest_size=16).digest() for row in joined.to_pylist()]
    return np.asarray(digests, dtype="S16")


def _poisson_tail(count: int, mean: float) -> float:
    """P(X >= count) for a Poisson X, by an upper bound of its terms."""
    if count <= mean:
        return 1.0
    first = exp(count * log(max(mean, 1e-300)) - mean - lgamma(count + 1))
    return min(1.0, first / (1 - mean / (count + 1)))
