"""Addresses of files and the places that they lie in, compared by their parts, never as texts.

An address is a path of this machine or a URI of one file. It is taken apart once, here, and what
was understood is what is opened: two readers that understand one text differently are how an
address gets past a check.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from lazaretto.redact import safe_uri
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Sequence

LOCAL = "file"
BUCKETS = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory")
"""Schemes whose address names a bucket; which machine has it is configured, not addressed."""
HOSTS = ("https", "http", "ftp", "sftp", "hdfs", "webhdfs")
"""Schemes whose address names a machine."""
SOURCE = "{source}"
"""Stands in a place for the name of the source that delivers."""
MANIFEST_SUFFIX = ".manifest.json"
"""A delivery's manifest lies beside it under this suffix, unless another place is named."""

_SAME = {"s3a": "s3", "gcs": "gs"}
_PORTS = {"https": "443", "http": "80", "ftp": "21", "sftp": "22"}
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://(.*)", re.DOTALL)
_MACHINE = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._\-]+)(?::([0-9]{1,5}))?")
_BUCKET = re.compile(r"(?:[A-Za-z0-9$._\-]+@)?[A-Za-z0-9._\-]+")
_INVISIBLE = re.compile(r"[\x00-\x20\x7f-\x9f\\]")


class AddressError(ValueError):
    """An address that cannot be used.

    Attributes:
        code: ``chained_address``, ``unknown_scheme`` or ``bad_address``.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Address:
    """An address, taken apart.

    Attributes:
        scheme: in lower case; ``file`` for what is on this machine.
        host: bucket, or user, machine and port, as they are compared; "" on this machine.
        parts: names of folders and of the file, as they are, from the root on.
        uri: what is opened: built from the parts; a path for what is on this machine.
    """

    scheme: str
    host: str
    parts: tuple[str, ...]
    uri: str

    def covers(self, other: Address) -> bool:
        """Whether another address is this one, or lies below it."""
        return (self.scheme, self.host) == (other.scheme, other.host) and (
            other.parts[: len(self.parts)] == self.parts
        )


def local_path(text: str) -> str | None:
    """The path of what is on this machine, from a path or a ``file://`` URI; else None.

    Raises:
        AddressError: a ``file://`` URI that names another machine, or is malformed.
    """
    found = _URI.fullmatch(text)
    if found is None:
        return text if "://" not in text else None
    if found[1].lower() != LOCAL:
        return None
    host, slash, path = found[2].partition("/")
    if host.lower() not in ("", "localhost") or not slash or re.search(r"[?#]", path):
        raise AddressError(
            f"{safe_uri(text)} is no address of a file here: write file:///folder/name, with %20 "
            "for a space, %3F for ? and %23 for #",
            "bad_address",
        )
    return "/" + unquote(path)


def read_address(text: str, *, folder: Path | None = None) -> Address:
    """Takes an address apart.

    Paths are made absolute, and ``.``, ``..`` and doubled slashes in them are resolved by the
    letter. A URI that holds such parts, also percent-encoded, is refused instead: its server may
    understand them otherwise.

    Args:
        text: a path or a URI.
        folder: what a relative path starts from; default the working directory.

    Raises:
        AddressError: the address chains others (``::``), its scheme is none that deliveries come
            by, or it is malformed.
    """
    path = local_path(text)
    if path is not None:
        if not path or "\0" in path or not _can_be_a_name(path):
            raise AddressError(
                f"an address is empty, or no file can have its name: {safe_uri(path)!r}",
                "bad_address",
            )
        whole = os.path.normpath(Path(folder or Path.cwd(), path))
        parts = tuple(part for part in whole.split("/") if part)
        return Address(LOCAL, "", parts, "/" + "/".join(parts))
    if "::" in text:
        raise AddressError(
            f"{safe_uri(text)} chains addresses, which is not read: deliver the file itself",
            "chained_address",
        )
    found = _URI.fullmatch(text)
    scheme = "" if found is None else found[1].lower()
    if found is None or scheme not in (*BUCKETS, *HOSTS):
        raise AddressError(
            f"{safe_uri(text)}: deliveries come as files of this machine, or by "
            f"{', '.join((*BUCKETS[:-1], *HOSTS))}",
            "unknown_scheme",
        )
    return _remote(text, scheme, found[2])


def read_place(text: str, *, folder: Path | None = None, source: str = "x") -> Address:
    """Takes a place of the policy apart; ``{source}`` in it stands for the source's name.

    Args:
        text: a folder, or a URI of a bucket or machine with a prefix.
        folder: what a relative path starts from.
        source: name of the source that delivers.

    Raises:
        AddressError: it is no address, is too wide, or holds another placeholder.
    """
    filled = text.replace(SOURCE, source)
    if re.search(r"[{}*?#]", filled):
        raise AddressError(
            f"place {excerpt(text, 80)!r}: a folder or a prefix, in which only {SOURCE} is "
            "replaced; there are no patterns",
            "bad_address",
        )
    # A place is a folder however it ends: a slash behind its name says nothing.
    place = read_address(re.sub(r"(?<=[^:/])/+\Z", "", filled), folder=folder)
    if place.scheme == LOCAL and not place.parts:
        raise AddressError("place '/' is every file of this machine: name a folder", "bad_address")
    return place


def within(places: Sequence[Address], address: Address) -> Address | None:
    """The first place that an address lies in; None: in none of them."""
    return next((place for place in places if place.covers(address)), None)


def _can_be_a_name(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return True


def _remote(text: str, scheme: str, rest: str) -> Address:
    if _INVISIBLE.search(rest):
        raise AddressError(
            f"{safe_uri(text)} has a space, a control character or a backslash in it: encode it, "
            "or rename the file",
            "bad_address",
        )
    body, mark, query = rest.partition("?")
    authority, _, path = body.partition("/")
    host = _host(text, scheme, authority)
    parts = tuple(path.split("/")) if path else ()
    if "#" in rest or any(_is_odd(part) for part in parts):
        raise AddressError(
            f"{safe_uri(text)}: its path has a part that is empty, '.' or '..', or a #: give the "
            "file's own address",
            "bad_address",
        )
    decoded = tuple(map(unquote, parts)) if scheme in ("http", "https") else parts
    uri = f"{scheme}://{authority}/{path}{mark}{query}"
    return Address(_SAME.get(scheme, scheme), host, decoded, uri)


def _host(text: str, scheme: str, authority: str) -> str:
    """The machine or bucket, as it is compared."""
    user, _, machine = authority.rpartition("@")
    if ":" in user or (user and scheme in ("http", "https")):
        raise AddressError(
            f"{safe_uri(text)} carries credentials: it would be shown and logged by whatever runs "
            "this. Give them in the environment, such as FSSPEC_FTP_PASSWORD",
            "bad_address",
        )
    if scheme in BUCKETS:
        if not _BUCKET.fullmatch(authority):
            raise AddressError(f"{safe_uri(text)} names no bucket", "bad_address")
        return authority.lower()
    found = _MACHINE.fullmatch(machine)
    if found is None:
        raise AddressError(f"{safe_uri(text)} names no machine", "bad_address")
    port = found[2] or _PORTS.get(scheme, "")
    return f"{user}@{found[1].lower()}:{port}"


def _is_odd(part: str) -> bool:
    """Whether a part of a path is not plainly a name, to a server that decodes it once or twice."""
    for _ in range(3):
        # Some servers take `..;x` for `..`.
        if part.partition(";")[0] in ("", ".", "..") or re.search(r"[/\\\x00-\x1f\x7f]", part):
            return True
        part = unquote(part)
    return False
