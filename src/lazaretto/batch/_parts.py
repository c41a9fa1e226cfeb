"""A folder of part files as one delivery: its bytes are those of a tar archive of the parts.

Spark, Dask and DuckDB write such folders. The archive is the same wherever and whenever it is made
(ustar or PAX headers as Python writes them; names sorted, no times, no owners, mode 644), so that
its digest stands for the parts' names and bytes. Names that begin with ``_`` or ``.`` are no parts.
"""

from __future__ import annotations

import os
import stat
import tarfile
from typing import TYPE_CHECKING

from lazaretto.batch._format import format_by_name
from lazaretto.errors import DeliveryError, NotArrivedError
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK = 1 << 20
_MOST_PARTS = 500  # they are open together while they are decoded
_UNFINISHED = "_temporary"
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def part_names(folder: int, shown: str) -> list[str]:
    """The parts of a folder, sorted.

    Args:
        folder: descriptor of the open folder.
        shown: its name, for messages.

    Raises:
        DeliveryError: ``not_a_regular_file``: it has no parts, or folders of its own;
            ``wrong_format``: they are not all of one format; ``too_large``: too many.
        NotArrivedError: it is still being written.
    """
    names = sorted(os.listdir(folder))
    if _UNFINISHED in names:
        raise NotArrivedError(
            f"{shown} is still being written: it holds {_UNFINISHED}. Nothing is on record: do the "
            "same again once it is complete"
        )
    parts = [name for name in names if not name.startswith(("_", "."))]
    formats = {(format_by_name(name) or "").partition(".")[0] for name in parts}
    if not parts or formats == {""}:
        raise DeliveryError(
            f"{shown} is a folder without part files (.parquet, .arrow, .csv or .jsonl); only "
            "those, and regular files, are read",
            code="not_a_regular_file",
        )
    if len(formats) > 1:
        odd = next(name for name in parts if format_by_name(name) != format_by_name(parts[0]))
        raise DeliveryError(
            f"{shown}: {excerpt(odd, 80)!r} in it is of another format than "
            f"{excerpt(parts[0], 80)!r}: a folder is one delivery, of parts of one format",
            code="wrong_format",
        )
    if len(parts) > _MOST_PARTS:
        raise DeliveryError(
            f"{shown} has more than {_MOST_PARTS:,} parts: write larger ones", code="too_large"
        )
    return parts


def packed(folder: int, shown: str) -> Iterator[bytes]:
    """The archive of a folder's parts, in blocks.

    Args:
        folder: descriptor of the open folder.
        shown: its name, for messages.

    Raises:
        DeliveryError: a code of `part_names`; ``link`` or ``not_a_regular_file``: a part is no
            file.
        NotArrivedError: a part changes while it is read.
    """
    for name in part_names(folder, shown):
        file = _open(name, folder, shown)
        with os.fdopen(file, "rb") as part:
            size = os.fstat(file).st_size
            header = tarfile.TarInfo(name)
            header.size = size
            try:
                yield header.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")
            except UnicodeError as error:
                raise DeliveryError(
                    f"{shown}: {excerpt(name, 80)!r} in it is no name in UTF-8", code="unreadable"
                ) from error
            left = size
            while left and (block := part.read(min(left, _BLOCK))):
                left -= len(block)
                yield block
            if left or part.read(1):
                raise NotArrivedError(
                    f"{shown}: {excerpt(name, 80)!r} in it changes while it is read. Nothing is on "
                    "record: do the same again once the folder is complete"
                )
        yield b"\0" * (-size % tarfile.BLOCKSIZE)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


def _open(name: str, folder: int, shown: str) -> int:
    kind = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    if stat.S_ISREG(kind):
        file = os.open(name, _FILE, dir_fd=folder)  # a link by now is an error of the system
        if stat.S_ISREG(os.fstat(file).st_mode):
            return file
        os.close(file)
    what = "a link" if stat.S_ISLNK(kind) else "no regular file"
    raise DeliveryError(
        f"{shown}: {excerpt(name, 80)!r} in it is {what}: a folder is delivered with its files",
        code="link" if stat.S_ISLNK(kind) else "not_a_regular_file",
    )
