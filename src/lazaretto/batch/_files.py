"""Files by path or URI that their owner names: open and hash them."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import pyarrow as pa

from lazaretto.addresses import BUCKETS, HOSTS, AddressError, local_path, read_address
from lazaretto.batch._places import describe_kind
from lazaretto.batch._remote import cannot_be_reached, open_remote
from lazaretto.errors import DeliveryError
from lazaretto.redact import safe_uri

_HASH_BLOCK = 1 << 20
_PATTERN = re.compile(r"[*?[]")
_OF_ITS_OWNER = frozenset(
    {errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL}
)


def file_name(uri: str) -> str:
    """Last part of a path or URI, without query."""
    return PurePosixPath(local_path(uri) or urlsplit(uri).path).name


def is_folder(uri: str) -> bool:
    """Whether a path, or a ``file://`` URI, leads to a folder of this machine."""
    try:
        path = local_path(uri)
        return path is not None and Path(path).is_dir()
    except (AddressError, ValueError):  # `open_file` says what is wrong
        return False


def split_pattern(uri: str) -> tuple[str, str] | None:
    """Folder and pattern of an address such as ``drop/2024-*.csv``; None for every other address.

    A file of this machine that is called so is that file. In a bucket a question mark is no
    pattern: behind it there is the version of an object.

    Example:
        >>> split_pattern("drop/2024-*.csv"), split_pattern("drop/monday.csv")
        (('drop', '2024-*.csv'), None)
        >>> split_pattern("s3://bucket/drop/*.csv")
        ('s3://bucket/drop', '*.csv')
    """
    try:
        path = local_path(uri)
    except (AddressError, ValueError):  # whoever opens it says what is wrong
        return None
    if path is None:
        folder, _, name = uri.rpartition("/")
        listed = uri.partition("://")[0].lower() in BUCKETS and not folder.endswith(":/")
        return (folder, name) if listed and "?" not in uri and re.search(r"[*[]", name) else None
    if not _PATTERN.search(PurePosixPath(path).name):
        return None
    if os.path.lexists(path):
        return None
    return str(PurePosixPath(path).parent), PurePosixPath(path).name


def open_file(uri: str) -> pa.NativeFile:
    """Opens a file that its owner names (trusted rows, weights, a stored copy) for random access.

    Files of this machine and of buckets are opened, links to them too. What a source delivers is
    opened by `lazaretto.batch._places`, which is stricter.

    Raises:
        DeliveryError: code ``unreadable``: nothing there, or no permission; codes of
            `lazaretto.addresses.read_address`; ``not_a_regular_file``; ``outside_places``:
            an address of a machine.
        NotArrivedError: a bucket has no such file.
        SystemFaultError: the disk, the bucket or the network fails.
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
    except OSError as error:
        if error.errno not in _OF_ITS_OWNER:
            raise cannot_be_reached(name, error) from error
        raise _cannot_be_opened(name, error) from error
    except ValueError as error:  # a name that no file can have
        raise _cannot_be_opened(name, error) from error


def _cannot_be_opened(name: str, error: Exception) -> DeliveryError:
    return DeliveryError(
        f"{name}: cannot be opened ({type(error).__name__}); check path and permissions",
        code="unreadable",
    )


def file_digest(uri: str | Path) -> str:
    """sha256 (hex) of a file's raw bytes, read as a stream.

    Raises:
        DeliveryError: code ``unreadable``.

    Examples:
        >>> from pathlib import Path
        >>> _ = Path("abc").write_bytes(b"abc")
        >>> file_digest("abc")[:16]
        'ba7816bf8f01cfea'
    """
    digest = hashlib.sha256()
    with open_file(str(uri)) as file:
        while block := file.read(_HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()
