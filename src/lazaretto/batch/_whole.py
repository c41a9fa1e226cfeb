"""A folder that is delivered as a whole: what lies in it, and its files, here or in a bucket.

On this machine no link is followed, and every file is reached through the folder that it was found
in: a folder that is swapped meanwhile leads nowhere else. What is elsewhere is read by the very
address that was checked, with names behind it that hold no way out.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from lazaretto.batch._remote import cannot_be_reached, remote_fault
from lazaretto.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterable

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Entry(NamedTuple):
    """What lies in a folder.

    Attributes:
        name: without folders.
        kind: what it is; a link, whatever it leads to.
    """

    name: str
    kind: Literal["file", "folder", "link", "other"]


class Whole(Protocol):
    """A folder, opened; to be closed.

    Its errors are a `DeliveryError` with a code of ``link``, ``not_a_regular_file`` or
    ``unreadable``, or a `SystemFaultError`.
    """

    def entries(self, below: str = "") -> list[Entry]:
        """What lies in it, or in a folder below it, sorted by name."""

    def has(self, path: str) -> bool:
        """Whether anything has a path within it."""

    def open(self, path: str) -> tuple[IO[bytes], int]:
        """Opens a file in it by its path; and how many bytes it has."""

    def close(self) -> None:
        """Lets go of it."""


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """A folder of this machine.

    Attributes:
        descriptor: of the open folder, which is closed with it.
        name: for messages.
    """

    descriptor: int
    name: str

    def entries(self, below: str = "") -> list[Entry]:
        """See `Whole`."""
        folder = self._reach(below.split("/") if below else [], below)
        try:
            with os.scandir(folder) as found:
                return sorted(Entry(one.name, _kind(one)) for one in found)
        finally:
            os.close(folder)

    def has(self, path: str) -> bool:
        """See `Whole`."""
        *folders, last = path.split("/")
        try:
            folder = self._reach(folders, path)
        except DeliveryError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return False
            raise
        try:
            os.stat(last, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        finally:
            os.close(folder)
        return True

    def open(self, path: str) -> tuple[IO[bytes], int]:
        """See `Whole`."""
        *folders, last = path.split("/")
        folder = self._reach(folders, path)
        try:
            file = self._step(last, _FILE, folder, path)
        finally:
            os.close(folder)
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            os.close(file)
            raise DeliveryError(
                f"{self.name}: {path[:80]!r} in it is no regular file", code="not_a_regular_file"
            )
        return os.fdopen(file, "rb"), found.st_size

    def close(self) -> None:
        """See `Whole`."""
        os.close(self.descriptor)

    def _reach(self, folders: Iterable[str], path: str) -> int:
        now = os.dup(self.descriptor)
        for one in folders:
            try:
                below = self._step(one, _FOLDER, now, path)
            finally:
                os.close(now)
            now = below
        return now

    def _step(self, entry: str, flags: int, folder: int, path: str) -> int:
        try:
            return os.open(entry, flags, dir_fd=folder)
        except OSError as error:
            # With O_DIRECTORY some systems call a link "not a directory".
            if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENOTDIR) and stat.S_ISLNK(
                os.stat(entry, dir_fd=folder, follow_symlinks=False).st_mode
            ):
                raise link(path, self.name) from error
            raise DeliveryError(
                f"{self.name}: {path[:80]!r} in it cannot be opened: {error.strerror}",
                code="unreadable",
            ) from error


@dataclass(frozen=True, slots=True)
class RemoteFolder:
    """A prefix of a bucket, or a folder of another machine.

    Attributes:
        files: fsspec's file system.
        root: its path there.
        name: for messages.
    """

    files: Any
    root: str
    name: str

    def entries(self, below: str = "") -> list[Entry]:
        """See `Whole`. What was listed before is asked anew: files may have come since."""
        root = f"{self.root}/{below}".rstrip("/")
        try:
            self.files.invalidate_cache()
            listed = self.files.ls(root, detail=True)
        except Exception as error:
            raise remote_fault(self.name, error) from None
        found = set()
        for one in listed:
            path = str(one["name"]).rstrip("/")
            # An object that is called as its folder marks it, and holds nothing.
            if path.strip("/") == root.strip("/"):
                continue
            kind = {"file": "file", "directory": "folder"}.get(str(one["type"]), "other")
            found.add(Entry(path.rpartition("/")[2], kind))  # type: ignore[arg-type]
        return sorted(found)

    def has(self, path: str) -> bool:
        """See `Whole`."""
        try:
            self.files.invalidate_cache()
            return bool(self.files.exists(f"{self.root}/{path}"))
        except Exception as error:
            raise cannot_be_reached(self.name, error) from None

    def open(self, path: str) -> tuple[IO[bytes], int]:
        """See `Whole`."""
        place = f"{self.root}/{path}"
        try:
            if self.files.isdir(place):
                raise DeliveryError(
                    f"{self.name}: {path[:80]!r} in it is no regular file",
                    code="not_a_regular_file",
                )
            return self.files.open(place, "rb"), int(self.files.size(place))
        except DeliveryError:
            raise
        except Exception as error:
            raise remote_fault(f"{self.name}: {path[:80]!r} in it", error) from None

    def close(self) -> None:
        """See `Whole`."""


def link(path: str, name: str) -> DeliveryError:
    """The refusal of a link in a folder."""
    return DeliveryError(
        f"{name}: {path[:80]!r} in it is a link, and links are not followed: deliver the file "
        "itself",
        code="link",
    )


def _kind(entry: os.DirEntry[str]) -> Literal["file", "folder", "link", "other"]:
    if entry.is_symlink():
        return "link"
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    return "file" if entry.is_file(follow_symlinks=False) else "other"
