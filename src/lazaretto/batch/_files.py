"""Files of a delivery by path or fsspec URI: open and hash them."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pyarrow as pa

from lazaretto.errors import DeliveryError

_HASH_BLOCK = 1 << 20


def shown(uri: str) -> str:
    """The URI without user, password and query, for messages: a signed URL is a secret."""
    if "://" not in uri:
        return uri
    parts = urlsplit(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def file_name(uri: str) -> str:
    """Last part of a path or URI, without query."""
    return PurePosixPath(urlsplit(uri).path if "://" in uri else Path(uri).as_posix()).name


def open_file(uri: str) -> pa.NativeFile:
    """Opens a delivery for random access.

    Raises:
        DeliveryError: code ``unreadable``: nothing there, a folder, or no permission.
    """
    import fsspec  # the decoding process has no use for it

    try:
        filesystem, path = fsspec.core.url_to_fs(uri)
        if filesystem.isdir(path):
            raise DeliveryError(
                f"{shown(uri)} is a folder; a delivery is one file", code="unreadable"
            )
        if "file" in _protocols(filesystem):
            return pa.OSFile(path, "rb")
        return pa.PythonFile(filesystem.open(path, "rb"), mode="r")
    except FileNotFoundError as error:
        raise DeliveryError(f"{shown(uri)}: no such file", code="unreadable") from error
    except (OSError, ValueError, ImportError) as error:
        # The error's own text may repeat the URI with its credentials, so only its type is told.
        raise DeliveryError(
            f"{shown(uri)}: cannot be opened ({type(error).__name__}); check path, protocol and "
            "permissions",
            code="unreadable",
        ) from error


def file_digest(uri: str | Path) -> str:
    """sha256 (hex) of a file's raw bytes, read as a stream.

    Raises:
        DeliveryError: code ``unreadable``.
    """
    digest = hashlib.sha256()
    with open_file(str(uri)) as file:
        while block := file.read(_HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _protocols(filesystem: Any) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)
