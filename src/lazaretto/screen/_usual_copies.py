"""What is usual by the trusted rows: how near they lie to each other, and what they repeat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lazaretto.batch._lists import as_lists
from lazaretto.screen._copies_index import NEAR, near_pairs
from lazaretto.screen._prints import Prints, content_keys, label_keys, sketches

if TYPE_CHECKING:
    from lazaretto.detect.arrays import Ints
    from lazaretto.reference import Reference

CROWDED = 0.05
"""Near copies are so near that at most this share of trusted rows lies as near to another one."""
_TRIED, _AMONG = 1000, 20_000
_SAME = 1
"""Vectors of one content differ by rounding alone, which turns a bit rarely."""


@dataclass(frozen=True, slots=True)
class Usual:
    """The trusted rows as fingerprints.

    Attributes:
        prints: of n rows; contents are unknown where `own_vectors` is false, and are 0.
        bits: near copies differ in at most so many bits; None: trusted rows lie so near to each
            other that near copies cannot be told from them.
        own_vectors: whether vectors are the content of a record, as it was delivered.
        reference: it.
    """

    prints: Prints
    bits: int | None
    own_vectors: bool
    reference: Reference

    @classmethod
    def of(cls, reference: Reference, *, own_vectors: bool) -> Usual:
        """Of a reference."""
        sample = reference.sample
        label = np.zeros(len(sample), dtype=np.int64)
        if sample.label is not None:
            label = label_keys(reference.classes)[sample.label]
        sketch = sketches(sample.embedding)
        prints = Prints(np.zeros(len(sample), dtype=np.int64), label, sketch)
        return cls(prints, _room(sketch), own_vectors, reference)

    def copies_of(self, records: Prints, bits: int | None) -> tuple[Ints, Ints]:
        """Trusted copies of some records: with the same label, and with another one.

        Args:
            records: m of them.
            bits: of near copies; None: only of equal contents. Where those are not known of trusted
                rows, the same vector stands for the same content.

        Returns:
            int64 (m,) each.
        """
        same, other = (np.zeros(len(records), dtype=np.int64) for _ in range(2))
        equal = bits is None and self.own_vectors
        for here, there in near_pairs(records.sketch, self.prints.sketch, bits or _SAME):
            copy = np.ones(len(here), dtype=bool)
            if equal:
                keys = content_keys([as_lists(self.reference.sample.embedding[there])])
                copy = keys == records.content[here]
            alike = records.label[here] == self.prints.label[there]
            np.add.at(same, here[copy & alike], 1)
            np.add.at(other, here[copy & ~alike], 1)
        return same, other


def _room(sketch: np.ndarray[tuple[int], np.dtype[np.uint64]]) -> int | None:
    """In how many bits near copies may differ, by how near trusted rows lie to each other."""
    among = np.unique(np.linspace(0, len(sketch) - 1, min(len(sketch), _AMONG)).astype(np.int64))
    tried = among[:: max(1, len(among) // _TRIED)]
    nearest = np.full(len(tried), 64)
    for start in range(0, len(tried), 50):
        rows = tried[start : start + 50]
        apart = np.bitwise_count(sketch[rows][:, None] ^ sketch[among][None, :])
        apart[rows[:, None] == among[None, :]] = 64
        nearest[start : start + 50] = apart.min(1)
    shares = [(bits, float((nearest <= bits).mean())) for bits in range(NEAR, 0, -1)]
    return next((bits for bits, share in shares if share <= CROWDED), None)
