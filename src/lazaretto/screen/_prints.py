"""Fingerprints of records: of what a record says, and of where its vector points."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lazaretto.batch._digest import row_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from lazaretto.detect.arrays import Floats, Ints

    Words = npt.NDArray[np.uint64]
    Mask = npt.NDArray[np.bool_]

BITS = 64
_SEED = 0x1A2A
_AT_ONCE = 8192
NUMBERS = ["content", "sketch", "label_key"]
"""Columns of a file of fingerprints that are compared."""


@dataclass(frozen=True, slots=True)
class Prints:
    """Fingerprints of n records.

    Attributes:
        content: int64 (n,), hash of what each one says, without its label and its id.
        label: int64 (n,), hash of its label; 0 without one.
        sketch: uint64 (n,), SimHash of its vector; see `sketches`.
    """

    content: Ints
    label: Ints
    sketch: Words

    def __len__(self) -> int:
        return len(self.content)

    def take(self, rows: Ints | Mask) -> Prints:
        """Some of them."""
        return Prints(self.content[rows], self.label[rows], self.sketch[rows])

    @classmethod
    def of_table(cls, table: pa.Table) -> Prints:
        """As `prints_table` has them.

        Raises:
            KeyError: a column is missing.
        """
        sketch = np.ascontiguousarray(table["sketch"].to_numpy()).view(np.uint64)
        return cls(table["content"].to_numpy(), table["label_key"].to_numpy(), sketch)


def prints_table(ids: pa.Array, prints: Prints) -> pa.Table:
    """What later batches read: ``record_id``, and the columns of `NUMBERS`."""
    return pa.table(
        {
            "record_id": ids,
            "content": pa.array(prints.content),
            "sketch": pa.array(prints.sketch.view(np.int64)),
            "label_key": pa.array(prints.label),
        }
    )


def content_keys(columns: Sequence[pa.Array]) -> Ints:
    """Hash of each record's values, int64 (n,): equal for equal values, whatever the id and label.

    64 bits of BLAKE2b. Two records that differ have one key with a chance of 5e-20; who makes such
    a pair on purpose has made two records that are taken for copies, both of them his own.

    Args:
        columns: of the records; one or more.
    """
    cells = [row_bytes(column) for column in columns]
    keys = bytearray()
    for values in zip(*cells, strict=True):
        parts = (len(value).to_bytes(8, "little") + value for value in values)
        keys += hashlib.blake2b(b"".join(parts), digest_size=8, person=b"lazaretto-copy").digest()
    return np.frombuffer(bytes(keys), np.dtype("<i8")).astype(np.int64)


def label_keys(texts: Iterable[str | None]) -> Ints:
    """Hash of each label, int64 (n,); 0 where there is none."""
    known: dict[str | None, int] = {None: 0}
    found = []
    for text in texts:
        if text not in known:
            hashed = hashlib.blake2b(str(text).encode(), digest_size=8, person=b"lazaretto-label")
            known[text] = int.from_bytes(hashed.digest(), "little", signed=True)
        found.append(known[text])
    return np.array(found, dtype=np.int64)


def sketches(vectors: Floats) -> Words:
    """SimHash of vectors: on which side of 64 random hyperplanes each one lies.

    Two vectors at an angle t differ in each bit with a chance of t / pi (Charikar, "Similarity
    estimation techniques from rounding algorithms", STOC 2002, section 3). The hyperplanes are
    the same for ever, so a sketch can be compared with one that was made years ago.

    Args:
        vectors: float32 (n, d), finite.

    Returns:
        uint64 (n,).
    """
    planes = _hyperplanes(vectors.shape[1])
    found = np.zeros(len(vectors), dtype=np.uint64)
    for start in range(0, len(vectors), _AT_ONCE):
        bits = np.packbits(vectors[start : start + _AT_ONCE] @ planes > 0, axis=1)
        found[start : start + _AT_ONCE] = np.ascontiguousarray(bits).view("<u8")[:, 0]
    return found


def _hyperplanes(width: int) -> Floats:
    """Normal directions, float32 (width, 64), by Box and Muller's method from PCG64's raw bits.

    NumPy keeps those bits for ever. Of its normal numbers it does not promise that.
    """
    raw = np.random.PCG64(_SEED).random_raw(2 * width * BITS)
    uniform = ((raw >> np.uint64(11)) + 0.5) * 2.0**-53
    radius, turn = uniform[::2], uniform[1::2]
    normal = np.sqrt(-2 * np.log(radius)) * np.cos(2 * np.pi * turn)
    return np.asarray(normal.reshape(width, BITS), dtype=np.float32)
