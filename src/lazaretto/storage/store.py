"""The store: immutable files under one root, written whole. Long: all access in one class."""

from __future__ import annotations

import hashlib
import re
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Protocol, cast

import fsspec

from lazaretto.errors import ChangedFileError, NotFoundError, SystemFaultError, UsageError
from lazaretto.faults import Kind, as_system_fault, kind_of
from lazaretto.redact import carries_credentials, safe_uri
from lazaretto.storage.verified import (
    BLOCK,
    LIST,
    BlockDigests,
    blocks_of,
    check_whole,
    open_verified,
)
from lazaretto.values import StoredFile

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

# Where folders are only names, and making one makes the bucket that is not there.
_BUCKETS = frozenset(
    ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "obs", "cos", "r2", "oci")
)
_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+=-]{0,254}")


class Owner(Protocol):
    """Whose store it is; see `lazaretto.storage.identity`."""

    def require(self, store: Store) -> None:
        """Raises OtherStoreError where it is somebody else's."""

    def mark(self, store: Store) -> None:
        """Writes down whose it is, before its first file."""


@dataclass(frozen=True, slots=True)
class Store:
    """Files under one root, addressed by relative POSIX paths.

    Attributes:
        root: absolute local path or URI (``s3://bucket/prefix``), without a trailing slash.
        owner: the catalog that it is used with; None: its files are used as they are, by whoever
            has their digests.
    """

    root: str
    owner: Owner | None = field(default=None, compare=False, repr=False)

    @classmethod
    def at(cls, root: str | Path) -> Store:
        """Opens a store at a local path or URI; a relative path becomes absolute.

        Raises:
            UsageError: the URI chains others, or carries credentials: the addresses of all that is
                stored begin with it, on the ledger and in lineage.
        """
        text = str(root)
        if carries_credentials(text):
            raise UsageError(
                f"the store's root {safe_uri(text)} carries credentials, a query, or other "
                "addresses: give a plain address, and credentials in the environment, such as "
                "AWS_ACCESS_KEY_ID"
            )
        if "://" not in text:
            text = str(Path(text).expanduser().absolute())
        elif text.startswith("file://"):
            text = text.removeprefix("file://")
        return cls(text.rstrip("/"))

    @property
    def is_local(self) -> bool:
        """Whether the root is a path on this machine."""
        return "://" not in self.root

    def require_own(self) -> None:
        """Makes sure that this is the store of the catalog that it is used with.

        Raises:
            OtherStoreError: it is not; nothing of it is to be used.
            SystemFaultError: catalog or store cannot be reached.
        """
        if self.owner is not None:
            self.owner.require(Store(self.root))

    def uri(self, path: str) -> str:
        """Absolute URI (or local path) of a relative path.

        Raises:
            UsageError: the path would leave the root or has characters that stores disagree about.
        """
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or not all(_SEGMENT.fullmatch(p) for p in parts):
            raise UsageError(f"not a path inside the store: {path!r}")
        return "/".join((self.root, *parts))

    def exists(self, path: str) -> bool:
        """Whether a file is there.

        Raises:
            SystemFaultError: the store cannot be read.
        """
        filesystem, target = self._resolve(path)
        with self._reading(path):
            return bool(filesystem.exists(target))

    def put(self, path: str, chunks: Iterable[bytes]) -> StoredFile:
        """Writes a file whole or not at all: temporary name, then one move.

        Args:
            path: where to; ``{sha256}`` in it stands for the digest of what is written, so that
                other content gets another name.
            chunks: its bytes.

        Returns:
            The reference by which it is read, and checked, later.

        Raises:
            ChangedFileError: a file of that name is there with other bytes; it is left as it is.
            SystemFaultError: the store cannot be written (unreachable, full, no permission).
        """
        filesystem, draft = self._resolve_new(path.replace("{sha256}", "draft"))
        temporary = f"{draft}.{uuid.uuid4().hex}.tmp"
        digests = BlockDigests()
        with self._writing(path):
            self.make_folder(filesystem, draft)
            file = filesystem.open(temporary, "wb")
        try:
            # Making the next chunk is not the store's work: what goes wrong there passes.
            for chunk in chunks:
                digests.update(chunk)
                with self._writing(path):
                    file.write(chunk)
            with self._writing(path):
                file.close()
                return self._place(filesystem, temporary, path, digests)
        except BaseException:
            # Where the store fails, what is left of the file stays: the first error is the one to
            # tell.
            with suppress(Exception):
                file.close()
            with suppress(Exception):
                if filesystem.exists(temporary):
                    filesystem.rm(temporary)
            raise

    def _place(
        self,
        filesystem: fsspec.AbstractFileSystem,
        temporary: str,
        path: str,
        written: BlockDigests,
    ) -> StoredFile:
        """Moves a written file to its name; the list of its blocks is there before it."""
        digest, block_list = written.hexdigest(), written.block_list()
        name = path.replace("{sha256}", digest)
        _, target = self._resolve(name)
        blocks = hashlib.sha256(block_list).hexdigest() if block_list else ""
        stored = StoredFile(name, written.size, digest, blocks)
        if filesystem.exists(target):
            with filesystem.open(target, "rb") as there:
                check_whole(stored, there)
            filesystem.rm(temporary)
        if block_list:
            listed = f"{temporary}{LIST}"
            with filesystem.open(listed, "wb") as file:
                file.write(block_list)
            filesystem.mv(listed, f"{target}{LIST}")
        if filesystem.exists(temporary):
            filesystem.mv(temporary, target)
        return stored

    def open(self, file: StoredFile) -> IO[bytes]:
        """Opens a file that is on record; what is read from it is checked while it is read.

        Raises:
            ChangedFileError: it is gone, or (at once or while reading) its bytes are others.
            SystemFaultError: the store cannot be read.
        """
        filesystem, target = self._resolve(file.path)
        reading = partial(self._reading, file.path)
        with reading():
            try:
                block_list = b""
                if file.blocks:
                    with filesystem.open(f"{target}{LIST}", "rb") as listed:
                        # One byte more than it may have: a list that grew is another list.
                        block_list = listed.read(32 * (file.size // BLOCK + 1) + 1)
                raw = filesystem.open(target, "rb")
                return open_verified(file, raw, block_list, reading)
            except Exception as error:
                if kind_of(error) is not Kind.MISSING:
                    raise
                raise ChangedFileError(
                    file.path, expected=file.sha256, found="it is gone"
                ) from error

    def read(self, file: StoredFile) -> bytes:
        """Reads a whole file that is on record; see `open`."""
        with self.open(file) as opened:
            return opened.read()

    def check(self, file: StoredFile) -> None:
        """Reads a file that is on record to its end, and gives out nothing.

        Raises:
            ChangedFileError: it is gone, or its bytes are others.
            SystemFaultError: the store cannot be read.
        """
        with self.open(file) as opened:
            for _ in blocks_of(opened):
                pass

    def read_unverified(self, path: str, limit: int) -> bytes:
        """Reads a file that no record names, such as a signed checkpoint, which vouches for itself.

        Raises:
            NotFoundError: it is not there.
            SystemFaultError: it is larger than `limit` bytes, or the store cannot be read.
        """
        filesystem, target = self._resolve(path)
        with self._reading(path):
            try:
                with filesystem.open(target, "rb") as file:
                    size = file.seek(0, 2)
                    if size > limit:
                        raise SystemFaultError(
                            f"{path!r} in the store has more than {limit:,} bytes"
                        )
                    file.seek(0)
                    return cast("bytes", file.read(size))
            except Exception as error:
                if kind_of(error) is not Kind.MISSING:
                    raise
                raise NotFoundError(f"the store has no file {path!r} (root {self.root})") from error

    def replace(self, path: str, data: bytes) -> None:
        """Writes a file anew, whole or not at all: for projections, which can be made again.

        Raises:
            SystemFaultError: the store cannot be written.
        """
        filesystem, target = self._resolve_new(path)
        temporary = f"{target}.{uuid.uuid4().hex}.tmp"
        with self._writing(path):
            self.make_folder(filesystem, target)
            with filesystem.open(temporary, "wb") as file:
                file.write(data)
            filesystem.mv(temporary, target)

    def delete(self, paths: Iterable[str]) -> None:
        """Deletes files; those that are not there are none to delete.

        Args:
            paths: relative to the root.

        Raises:
            SystemFaultError: the store cannot be written; those before the one named are deleted.
        """
        for path in paths:
            filesystem, target = self._resolve(path)
            with self._writing(path):
                try:
                    filesystem.rm_file(target)
                except Exception as error:
                    if kind_of(error) is not Kind.MISSING:
                        raise

    def delete_folder(self, path: str) -> None:
        """Deletes a folder with all that is in it; one that is not there is none to delete.

        Raises:
            SystemFaultError: the store cannot be written.
        """
        filesystem, target = self._resolve(path)
        with self._writing(path):
            if filesystem.exists(target):
                filesystem.rm(target, recursive=True)

    def list(self, path: str) -> list[str]:
        """Relative paths of all files below a folder, sorted; empty when there is none.

        Raises:
            SystemFaultError: the store cannot be read.
        """
        filesystem, target = self._resolve(path)
        base = self._resolve_root()[1]
        with self._reading(path):
            found = filesystem.find(target) if filesystem.exists(target) else []
        return sorted(str(name).removeprefix(base).lstrip("/") for name in found)

    def sizes(self) -> dict[str, int]:
        """Size in bytes of every file under the root, by relative path; empty when there is none.

        Raises:
            SystemFaultError: the store cannot be read.
        """
        filesystem, base = self._resolve_root()
        with as_system_fault(f"cannot list the store {self.root}"):
            found = filesystem.find(base, detail=True) if filesystem.exists(base) else {}
        return {
            str(name).removeprefix(base).lstrip("/"): int(about["size"] or 0)
            for name, about in found.items()
        }

    def make_folder(self, filesystem: fsspec.AbstractFileSystem, target: str) -> None:
        """Makes the folder of a file, where the file system has folders; never a bucket."""
        if self.root.split("://")[0] not in _BUCKETS:
            filesystem.makedirs(target.rsplit("/", 1)[0], exist_ok=True)

    def _resolve(self, path: str) -> tuple[fsspec.AbstractFileSystem, str]:
        self.uri(path)
        filesystem, base = self._resolve_root()
        return filesystem, f"{base}/{path}"

    def _resolve_new(self, path: str) -> tuple[fsspec.AbstractFileSystem, str]:
        """The same for a file to be written: the store says first whose it is."""
        resolved = self._resolve(path)
        if self.owner is not None:
            self.owner.mark(Store(self.root))
        return resolved

    def _resolve_root(self) -> tuple[fsspec.AbstractFileSystem, str]:
        self.require_own()
        try:
            filesystem, base = fsspec.core.url_to_fs(self.root)
        except (ImportError, ValueError) as error:
            raise UsageError(
                f"the store {self.root} cannot be opened: no Python package that reads such "
                "addresses is installed, such as s3fs, gcsfs or adlfs"
            ) from error
        return filesystem, str(base).rstrip("/")

    def _reading(self, path: str) -> AbstractContextManager[None]:
        return as_system_fault(f"cannot read {path!r} in the store {self.root}")

    def _writing(self, path: str) -> AbstractContextManager[None]:
        return as_system_fault(f"cannot write {path!r} in the store {self.root}")
