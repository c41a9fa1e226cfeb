"""Reading back what was stored: every byte is checked against its digest before it is given out.

Small files are read whole and compared. Large ones have a list of block digests beside them, as
fs-verity has: each block is checked when it is read, so that a reader may seek, memory holds a few
blocks, and no file is read twice. The list itself is checked whole.
"""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from lazaretto.errors import ChangedFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from lazaretto.values import StoredFile

BLOCK = 4 * 2**20
"""Bytes of a block; files up to this size have no list."""
LIST = ".blocks"
_DIGEST = 32
_KEPT = 4


class BlockDigests:
    """Digests of a file that is being written: of the whole, and of each block."""

    def __init__(self) -> None:
        self.size = 0
        self._whole = hashlib.sha256()
        self._block = hashlib.sha256()
        self._blocks: list[bytes] = []

    def update(self, data: bytes) -> None:
        """Takes the next bytes."""
        self._whole.update(data)
        view = memoryview(data)
        while view:
            room = BLOCK - self.size % BLOCK
            part = view[:room]
            self._block.update(part)
            self.size += len(part)
            view = view[room:]
            if self.size % BLOCK == 0:
                self._blocks.append(self._block.digest())
                self._block = hashlib.sha256()

    def hexdigest(self) -> str:
        """sha256 of all bytes, hex."""
        return self._whole.hexdigest()

    def block_list(self) -> bytes:
        """The list of block digests; empty for a file of one block."""
        if self.size <= BLOCK:
            return b""
        last = [self._block.digest()] if self.size % BLOCK else []
        return b"".join([*self._blocks, *last])


def open_verified(
    file: StoredFile,
    raw: IO[bytes],
    block_list: bytes,
    reading: Callable[[], AbstractContextManager[None]],
) -> IO[bytes]:
    """A seekable file over `raw` that gives out checked bytes only; it closes `raw`.

    Args:
        file: what is on record.
        raw: the file as it lies in the store.
        block_list: content of the list beside it, unchecked; empty for a small file.
        reading: surrounds each use of `raw`, now and later, and says whose fault an error is.

    Raises:
        ChangedFileError: its size, the list, or (at once or while reading) its bytes are others.
        SystemFaultError: (at once or while reading) the store cannot be read.
    """
    with reading():
        size = raw.seek(0, io.SEEK_END)
        raw.seek(0)
    if size != file.size:
        raw.close()
        raise _changed(file, f"it has {size} bytes instead of {file.size}")
    if not file.blocks:
        with reading(), raw:
            data = raw.read()
        digest = hashlib.sha256(data).hexdigest()
        if digest != file.sha256:
            raise _changed(file, f"its sha256 is {digest[:16]}…")
        return io.BytesIO(data)
    if hashlib.sha256(block_list).hexdigest() != file.blocks:
        raw.close()
        raise _changed(file, f"the list of its blocks, {file.path}{LIST}, was changed")
    checked = _VerifiedFile(file, raw, block_list, reading)
    return io.BufferedReader(checked, buffer_size=1 << 16)


def check_whole(file: StoredFile, raw: IO[bytes]) -> None:
    """Reads a file to its end and compares its sha256.

    Raises:
        ChangedFileError: it is another file.
    """
    digest, size = hashlib.sha256(), 0
    while block := raw.read(BLOCK):
        digest.update(block)
        size += len(block)
    if size != file.size:
        raise _changed(file, f"it has {size} bytes instead of {file.size}")
    if digest.hexdigest() != file.sha256:
        raise _changed(file, f"its sha256 is {digest.hexdigest()[:16]}…")


def blocks_of(raw: IO[bytes]) -> Iterator[bytes]:
    """A file in blocks."""
    while block := raw.read(BLOCK):
        yield block


class _VerifiedFile(io.RawIOBase):
    """Checks each block when it is first read; keeps the last few."""

    def __init__(
        self,
        file: StoredFile,
        raw: IO[bytes],
        block_list: bytes,
        reading: Callable[[], AbstractContextManager[None]],
    ) -> None:
        super().__init__()
        self._reading = reading
        self._file = file
        self._raw = raw
        self._list = block_list
        self._position = 0
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._file.size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, target: Any) -> int:
        view = memoryview(target).cast("B")
        done = 0
        while done < len(view) and self._position < self._file.size:
            number, start = divmod(self._position, BLOCK)
            part = memoryview(self._block(number))[start : start + len(view) - done]
            view[done : done + len(part)] = part
            done += len(part)
            self._position += len(part)
        return done

    def close(self) -> None:
        if not self.closed:
            # What was read was checked; and the error of a store that fails was told already.
            with suppress(Exception):
                self._raw.close()
            self._kept.clear()
        super().close()

    def _block(self, number: int) -> bytes:
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        with self._reading():
            self._raw.seek(number * BLOCK)
            data = self._raw.read(min(BLOCK, self._file.size - number * BLOCK))
        expected = self._list[number * _DIGEST : (number + 1) * _DIGEST]
        if hashlib.sha256(data).digest() != expected:
            raise _changed(self._file, f"its bytes from {number * BLOCK} on were changed")
        self._kept[number] = data
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return data


def _changed(file: StoredFile, found: str) -> ChangedFileError:
    return ChangedFileError(file.path, expected=file.sha256, found=found)
