"""The store: immutable files under one root, a local path or any fsspec URI, written whole."""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, cast

import fsspec

from lazaretto.errors import NotFoundError, SystemFaultError, UsageError
from lazaretto.redact import carries_credentials, safe_uri, told

if TYPE_CHECKING:
    from collections.abc import Iterator

_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+=-]{0,254}")


@dataclass(frozen=True, slots=True)
class Store:
    """Files under one root, addressed by relative POSIX paths.

    Attributes:
        root: absolute local path or URI (``s3://bucket/prefix``), without a trailing slash.
    """

    root: str

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

    def uri(self, path: str) -> str:
        """Absolute URI (or local path) of a relative path.

        Raises:
            UsageError: the path would leave the root or has characters that stores disagree about.
        """
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or not all(_SEGMENT.fullmatch(p) for p in parts):
            raise UsageError(f"not a path inside the store: {path!r}")
        return "/".join((self.root, *parts))

    def relative(self, uri: str) -> str:
        """The relative path of a URI that `uri` gave.

        Raises:
            UsageError: the URI is not under this store's root.
        """
        prefix = self.root + "/"
        if not uri.startswith(prefix):
            raise UsageError(f"not inside the store {self.root}: {uri!r}")
        path = uri.removeprefix(prefix)
        self.uri(path)
        return path

    def exists(self, path: str) -> bool:
        """Whether a file is there."""
        filesystem, target = self._resolve(path)
        return bool(filesystem.exists(target))

    def open(self, path: str) -> IO[bytes]:
        """Opens a file for reading.

        Raises:
            NotFoundError: there is none.
        """
        filesystem, target = self._resolve(path)
        try:
            return cast("IO[bytes]", filesystem.open(target, "rb"))
        except FileNotFoundError as error:
            raise NotFoundError(f"the store has no file {path!r} (root {self.root})") from error

    def read(self, path: str) -> bytes:
        """Reads a whole file."""
        with self.open(path) as file:
            return file.read()

    def write(self, path: str, data: bytes) -> str:
        """Writes a file whole or not at all, and returns its URI; see `write_stream`."""
        return self.write_stream(path, iter([data]))[0]

    def write_stream(self, path: str, chunks: Iterator[bytes]) -> tuple[str, str]:
        """Writes a file whole or not at all: temporary name, then one move.

        Returns:
            Its URI, and the sha256 (hex) of its bytes.

        Raises:
            SystemFaultError: the store cannot be written (unreachable, full, no permission).
        """
        filesystem, target = self._resolve(path)
        temporary = f"{target}.{uuid.uuid4().hex}.tmp"
        digest = hashlib.sha256()
        try:
            filesystem.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
            try:
                with filesystem.open(temporary, "wb") as file:
                    for chunk in chunks:
                        digest.update(chunk)
                        file.write(chunk)
                filesystem.mv(temporary, target)
            except BaseException:
                if filesystem.exists(temporary):
                    filesystem.rm(temporary)
                raise
        except OSError as error:
            raise SystemFaultError(
                f"cannot write {path!r} in the store {self.root}: {told(error)}"
            ) from error
        return self.uri(path), digest.hexdigest()

    def list(self, path: str) -> list[str]:
        """Relative paths of all files below a folder, sorted; empty when there is none."""
        filesystem, target = self._resolve(path)
        base = self._resolve_root()[1]
        found = filesystem.find(target) if filesystem.exists(target) else []
        return sorted(str(name).removeprefix(base).lstrip("/") for name in found)

    def _resolve(self, path: str) -> tuple[fsspec.AbstractFileSystem, str]:
        self.uri(path)
        filesystem, base = self._resolve_root()
        return filesystem, f"{base}/{path}"

    def _resolve_root(self) -> tuple[fsspec.AbstractFileSystem, str]:
        filesystem, base = fsspec.core.url_to_fs(self.root)
        return filesystem, str(base).rstrip("/")
