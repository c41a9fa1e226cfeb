"""Files of a delivery by path or fsspec URI: open, hash, and tell the format by the bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import fsspec
import pyarrow as pa

from lazaretto.errors import DeliveryError

FORMATS = ("parquet", "arrow", "csv", "jsonl")
_EXTENSIONS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_NAMES = {"parquet": "Parquet", "arrow": "Arrow IPC file", "csv": "CSV", "jsonl": "JSON Lines"}
_MAGIC = {
    b"PAR1": "parquet",
    b"PARE": "an encrypted Parquet file",
    b"ARROW1": "arrow",
    b"\xff\xff\xff\xff": "an Arrow stream (write the file format)",
    b"\x1f\x8b": "gzip (deliver it uncompressed)",
    b"PK\x03\x04": "zip (deliver it uncompressed)",
    b"\x28\xb5\x2f\xfd": "zstd (deliver it uncompressed)",
    b"BZh": "bzip2 (deliver it uncompressed)",
    b"\xfd7zXZ": "xz (deliver it uncompressed)",
}
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


def tell_format(uri: str, file: pa.NativeFile, wanted: str | None) -> str:
    """The format by extension (or as wanted), checked against the file's first and last bytes.

    Raises:
        DeliveryError: code ``wrong_format`` (bytes disagree), ``truncated`` (the end is missing),
            ``zero_rows`` (an empty file).
    """
    name = shown(uri)
    format_ = wanted or _EXTENSIONS.get(PurePosixPath(file_name(uri)).suffix.lower())
    if format_ not in FORMATS:
        raise DeliveryError(
            f"{name}: unknown format; name the file .parquet, .arrow, .csv or .jsonl, or say "
            "the format",
            code="wrong_format",
        )
    size = file.size()
    if size == 0:
        raise DeliveryError(f"{name}: the file is empty (0 bytes)", code="zero_rows")
    head = bytes(file.read_at(min(size, 4096), 0))
    found = _sniff(head)
    if found != format_:
        raise DeliveryError(
            f"{name}: named or declared as {_NAMES[format_]}, but its bytes are "
            f"{_NAMES.get(found, found)}",
            code="wrong_format",
        )
    magic = {"parquet": b"PAR1", "arrow": b"ARROW1"}.get(format_)
    if magic and (
        size < 2 * len(magic) or bytes(file.read_at(len(magic), size - len(magic))) != magic
    ):
        raise DeliveryError(
            f"{name}: the {_NAMES[format_]} is truncated: its last bytes are not "
            f"{magic.decode()}; send it again",
            code="truncated",
        )
    return format_


def _sniff(head: bytes) -> str:
    """Name of the format that the first bytes show."""
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    if b"\0" in head:
        return "binary"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"["):
        return "a JSON array (deliver one object per line)"
    return "jsonl" if text.startswith(b"{") else "csv"


def _protocols(filesystem: Any) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)
