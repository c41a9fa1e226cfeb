"""Files by path or URI: open, hash, and tell the format by the bytes."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import pyarrow as pa

from lazaretto.addresses import HOSTS, AddressError, local_path, read_address
from lazaretto.batch._places import describe_kind
from lazaretto.batch._remote import open_remote
from lazaretto.errors import DeliveryError
from lazaretto.redact import safe_uri

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


def file_name(uri: str) -> str:
    """Last part of a path or URI, without query."""
    return PurePosixPath(local_path(uri) or urlsplit(uri).path).name


def open_file(uri: str) -> pa.NativeFile:
    """Opens a file that its owner names (trusted rows, weights, a stored copy) for random access.

    Files of this machine and of buckets are opened, links to them too. What a source delivers is
    opened by `lazaretto.batch._places`, which is stricter.

    Raises:
        DeliveryError: code ``unreadable``: nothing there, or no permission; codes of
            `lazaretto.addresses.read_address`; ``not_a_regular_file``; ``outside_places``:
            an address of a machine.
    """
    name = safe_uri(uri)
    try:
        path = local_path(uri)
        if path is not None:
            path = os.path.expanduser(path)  # noqa: PTH111  Path's raises where there is no home
            kind = Path(path).stat().st_mode
            if not stat.S_ISREG(kind):  # a pipe might never end
                raise DeliveryError(
                    f"{name} is {describe_kind(kind)}; only regular files are read",
                    code="not_a_regular_file",
                )
            return pa.OSFile(path, "rb")
        address = read_address(uri)
        if address.scheme in HOSTS:
            raise DeliveryError(
                f"{name} is on another machine: copy it here or into a bucket, and name it there",
                code="outside_places",
            )
        return pa.PythonFile(open_remote(address), mode="r")
    except AddressError as error:
        raise DeliveryError(str(error), code=error.code) from None
    except FileNotFoundError as error:
        raise DeliveryError(f"{name}: no such file", code="unreadable") from error
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise DeliveryError(
            f"{name}: cannot be opened ({type(error).__name__}); check path and permissions",
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
    name = safe_uri(uri)
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
