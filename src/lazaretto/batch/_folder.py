"""A folder as one delivery: packed into a tar archive that is the same every time.

No link is followed, and every file is read through the folder that it was found in: a folder that
is swapped meanwhile leads nowhere else.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from typing import IO, TYPE_CHECKING

from lazaretto.batch._read_images import IMAGE_NAME, checked_path, not_an_image
from lazaretto.errors import DeliveryError, NotArrivedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from lazaretto.policy import Limits

_DEEPEST = 16
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def pack_folder(
    folder: int, target: Path, limits: Limits, name: str, *, paths: Sequence[str] | None = None
) -> tuple[str, dict[str, str]]:
    """Packs files of an open folder, sorted by path.

    The archive holds paths and bytes, and nothing that differs from copy to copy: no times, owners
    or permissions. So the same files have the same digest wherever they lie.

    Args:
        folder: open, by `os.open`.
        target: the archive.
        limits: how many bytes and files there may be.
        name: of the folder, for messages.
        paths: which files; default: all images, also in folders below, and nothing else may be
            there.

    Returns:
        sha256 (hex) of the archive, and of each file in it, by path: of the bytes that were packed.

    Raises:
        NotArrivedError: a file grows while it is read.
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

    def __init__(self, file: IO[bytes]) -> None:
        self.digest = hashlib.sha256()
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = self._file.read(size)
        self.digest.update(data)
        return data


def _pack(
    folder: int, paths: Sequence[str], archive: tarfile.TarFile, limits: Limits, name: str
) -> dict[str, str]:
    digests: dict[str, str] = {}
    if len(paths) > limits.max_rows:
        raise DeliveryError(
            f"{name}: more than limits.max_rows = {limits.max_rows:,} records", code="too_large"
        )
    for path in paths:
        with _opened(folder, path, name) as file:
            entry = tarfile.TarInfo(path)
            entry.size = os.fstat(file.fileno()).st_size
            read = _Read(file)
            archive.addfile(entry, read)
            digests[path] = read.digest.hexdigest()
            if file.read(1):
                raise NotArrivedError(
                    f"{name}: {path[:80]!r} in it grows while it is read. Nothing is on record: do "
                    "the same again once the folder is complete"
                )
        archive.members = []  # type: ignore[attr-defined]  # typeshed lacks it
    return digests


def _paths(folder: int, head: str, depth: int, name: str) -> Iterator[str]:
    """Paths of all images below an open folder."""
    if depth > _DEEPEST:
        raise DeliveryError(f"{name}: folders in it are deeper than {_DEEPEST}", code="too_deep")
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.name.startswith((".", "_")):
            continue
        path = checked_path(f"{head}{entry.name}", name)
        if entry.is_symlink():
            raise _link(path, name)
        if entry.is_dir(follow_symlinks=False):
            below = _step(entry.name, _FOLDER, folder, path, name)
            try:
                yield from _paths(below, f"{path}/", depth + 1, name)
            finally:
                os.close(below)
        elif IMAGE_NAME.fullmatch(path) and entry.is_file(follow_symlinks=False):
            yield path
        else:
            raise not_an_image(path, name)


def _opened(folder: int, path: str, name: str) -> IO[bytes]:
    *folders, last = path.split("/")
    now = os.dup(folder)
    try:
        for one in folders:
            below = _step(one, _FOLDER, now, path, name)
            os.close(now)
            now = below
        file = _step(last, _FILE, now, path, name)
    finally:
        os.close(now)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise DeliveryError(
            f"{name}: {path[:80]!r} in it is no regular file", code="not_a_regular_file"
        )
    return os.fdopen(file, "rb")


def _step(entry: str, flags: int, folder: int, path: str, name: str) -> int:
    try:
        return os.open(entry, flags, dir_fd=folder)
    except OSError as error:
        if stat.S_ISLNK(os.stat(entry, dir_fd=folder, follow_symlinks=False).st_mode):
            raise _link(path, name) from error
        raise DeliveryError(
            f"{name}: {path[:80]!r} in it cannot be opened: {error.strerror}", code="unreadable"
        ) from error


def _link(path: str, name: str) -> DeliveryError:
    return DeliveryError(
        f"{name}: {path[:80]!r} in it is a link, and links are not followed: deliver the file "
        "itself",
        code="link",
    )
