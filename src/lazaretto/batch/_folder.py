"""A folder as one delivery: packed into a tar archive that is the same every time.

Which files there are, and their bytes, come from `lazaretto.batch._whole`.
"""

from __future__ import annotations

import hashlib
import tarfile
from typing import IO, TYPE_CHECKING

from lazaretto.batch._read_images import IMAGE_NAME, checked_path, not_an_image
from lazaretto.batch._remote import cannot_be_reached
from lazaretto.batch._whole import link
from lazaretto.errors import DeliveryError, NotArrivedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lazaretto.batch._whole import Whole
    from lazaretto.policy import Limits

_DEEPEST = 16
_BLOCK = 1 << 20


def pack_folder(
    folder: Whole, target: Path, limits: Limits, name: str, *, paths: Sequence[str] | None = None
) -> tuple[str, dict[str, str]]:
    """Packs files of an open folder, sorted by path.

    The archive holds paths and bytes, and nothing that differs from copy to copy: no times, owners
    or permissions. So the same files have the same digest wherever they lie.

    Args:
        folder: open.
        target: the archive.
        limits: how many bytes and files there may be.
        name: of the folder, for messages.
        paths: which files; default: all images, also in folders below, and nothing else may be
            there.

    Returns:
        sha256 (hex) of the archive, and of each file in it, by path: of the bytes that were packed.

    Raises:
        NotArrivedError: a file grows or shrinks while it is read.
        SystemFaultError: it stops coming.
        DeliveryError: ``not_a_regular_file`` (no image in it, or none that is a file),
            ``wrong_format`` (something else in it), ``link``, ``bad_file_name``, ``too_deep``,
            ``too_large``.
    """
    with target.open("wb") as file:
        into = _Hashed(file, limits, name)
        # GNU's format: a long name takes an entry before its file, and nothing else varies.
        with tarfile.open(fileobj=into, mode="w|", format=tarfile.GNU_FORMAT) as archive:  # type: ignore[call-overload]
            found = _paths(folder, "", 0, name) if paths is None else paths
            files = _pack(folder, sorted(found), archive, limits, name)
    if not files:
        raise DeliveryError(
            f"{name} is a folder; only regular files are read, and folders of PNG or JPEG images, "
            "or of part files",
            code="not_a_regular_file",
        )
    return into.digest.hexdigest(), files


class _Hashed:
    """Writes to a file, and keeps the digest of what was written."""

    def __init__(self, file: IO[bytes], limits: Limits, name: str) -> None:
        self.digest = hashlib.sha256()
        self._file, self._limits, self._name, self._size = file, limits, name, 0

    def write(self, data: bytes) -> int:
        """Takes the next bytes."""
        self._size += len(data)
        if self._size > self._limits.max_bytes:
            raise DeliveryError(
                f"{self._name} has more than limits.max_bytes = {self._limits.max_bytes:,} bytes",
                code="too_large",
            )
        self.digest.update(data)
        return self._file.write(data)


class _Read:
    """Reads a file, and keeps the digest of what was read."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self.digest = hashlib.sha256()
        self._file, self._name = file, name

    def read(self, size: int = _BLOCK) -> bytes:
        """The next bytes, as many as there are up to `size`; a connection gives them in pieces."""
        found = bytearray()
        try:
            while len(found) < size and (block := self._file.read(size - len(found))):
                found += block
        except Exception as error:  # every driver has its own
            raise cannot_be_reached(self._name, error) from None
        self.digest.update(found)
        return bytes(found)


def _pack(
    folder: Whole, paths: Sequence[str], archive: tarfile.TarFile, limits: Limits, name: str
) -> dict[str, str]:
    digests: dict[str, str] = {}
    if len(paths) > limits.max_rows:
        raise DeliveryError(
            f"{name}: more than limits.max_rows = {limits.max_rows:,} records", code="too_large"
        )
    for path in paths:
        file, size = folder.open(path)
        with file:
            entry = tarfile.TarInfo(path)
            entry.size = size
            read = _Read(file, name)
            try:
                archive.addfile(entry, read)
                whole = not read.read(1)
            except OSError as error:
                if error.errno is not None:  # of the disk that it is written to
                    raise
                whole = False
            if not whole:
                raise NotArrivedError(
                    f"{name}: {path[:80]!r} in it is written to while it is read. Nothing is on "
                    "record: do the same again once the folder is complete"
                )
            digests[path] = read.digest.hexdigest()
        archive.members = []  # type: ignore[attr-defined]  # typeshed lacks it
    return digests


def _paths(folder: Whole, head: str, depth: int, name: str) -> Iterator[str]:
    """Paths of all images below an open folder."""
    if depth > _DEEPEST:
        raise DeliveryError(f"{name}: folders in it are deeper than {_DEEPEST}", code="too_deep")
    for entry in folder.entries(head):
        if entry.name.startswith((".", "_")):
            continue
        path = checked_path(f"{head}/{entry.name}" if head else entry.name, name)
        if entry.kind == "link":
            raise link(path, name)
        if entry.kind == "folder":
            yield from _paths(folder, path, depth + 1, name)
        elif IMAGE_NAME.fullmatch(path) and entry.kind == "file":
            yield path
        else:
            raise not_an_image(path, name)
