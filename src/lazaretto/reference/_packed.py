"""A reference's arrays in their file, read bit by bit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

_BLOCK = 16 * 2**20
_LONGEST_HEADER = 2**24
_KINDS: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"),
}


@dataclass(frozen=True, slots=True)
class Packed:
    """A safetensors file, of which only what is asked for is read.

    https://github.com/huggingface/safetensors, "Format": eight bytes with the length of a JSON
    object, the object, and the arrays behind each other. The library reads whole files only, or
    such as lie on a disk.
    """

    file: IO[bytes]
    entries: dict[str, Any]
    start: int

    @classmethod
    def open(cls, file: IO[bytes]) -> Packed:
        """Reads the header.

        Raises:
            ValueError: this is no such file.
        """
        length = int.from_bytes(file.read(8), "little")
        if length > _LONGEST_HEADER:
            raise ValueError("its header is too long")
        return cls(file, json.loads(file.read(length)), 8 + length)

    def rows(self, name: str) -> int:
        """How many rows an array has."""
        return int(self.entries[name]["shape"][0])

    def array(self, name: str) -> npt.NDArray[Any]:
        """A whole array."""
        return np.concatenate([block for _, block in self.blocks(name)])

    def part(self, name: str, first: int, count: int) -> npt.NDArray[Any]:
        """Some rows of an array, behind each other."""
        entry = self.entries[name]
        kind, (_, *width) = _KINDS[entry["dtype"]], entry["shape"]
        size = kind.itemsize * int(np.prod(width, dtype=np.int64))
        self.file.seek(self.start + entry["data_offsets"][0] + first * size)
        return np.frombuffer(self.file.read(count * size), kind).reshape(count, *width)

    def blocks(self, name: str) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """The array's rows in blocks, each with the number of its first row; at least one."""
        entry = self.entries[name]
        kind, (rows, *width) = _KINDS[entry["dtype"]], entry["shape"]
        size = kind.itemsize * int(np.prod(width, dtype=np.int64))
        step = max(1, _BLOCK // max(size, 1))
        for first in range(0, max(rows, 1), step):
            yield first, self.part(name, first, min(step, rows - first))
