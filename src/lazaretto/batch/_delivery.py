"""Getting at a delivery: its bytes within limits, its manifest, its public name."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from lazaretto.addresses import LOCAL, AddressError, local_path, read_address
from lazaretto.batch._files import file_digest, file_name
from lazaretto.batch._format import format_by_name
from lazaretto.batch._parts import packed, part_names
from lazaretto.batch._places import open_delivery, open_folder
from lazaretto.batch._remote import cannot_be_reached
from lazaretto.errors import DeliveryError
from lazaretto.faults import as_system_fault
from lazaretto.redact import safe_uri
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.batch._places import Places
    from lazaretto.policy import Limits

_BLOCK = 1 << 20
_MAX_ENVELOPE = 1 << 20


def public_uri(uri: str | Path) -> str:
    """The address as it goes on record: absolute, without credentials, of bounded length."""
    text = str(uri)
    try:
        address = read_address(text)
    except AddressError:
        return safe_uri(text)
    # A relative path that looks like a user at a host is no address of a file.
    odd = address.scheme == LOCAL and safe_uri(text) != excerpt(text, 2_000)
    return safe_uri(text if odd else address.uri)


class Copied(NamedTuple):
    """A delivery that was copied to this machine.

    Attributes:
        sha256: hex digest of its bytes.
        format: as its name says it: `lazaretto.batch.format_by_name`, with ``.tar`` for a folder of
            parts; None where it says nothing.
    """

    sha256: str
    format: str | None


def copy_delivery(uri: str, target: Path, limits: Limits, places: Places) -> Copied:
    """Copies a delivery to this machine: a file, or the parts of a folder as one archive.

    Raises:
        DeliveryError: ``too_large``, or a code of `lazaretto.batch._places.open_delivery` or
            `lazaretto.batch._parts.packed`.
        NotArrivedError: it is not there (yet).
        SystemFaultError: it stops coming, or there is no room for the copy.
    """
    folder = open_folder(uri, places)
    if folder is not None:
        try:
            return copy_folder(folder, target, limits, public_uri(uri))
        finally:
            os.close(folder)
    with open_delivery(uri, places) as file:
        digest = copy_bytes(file, target, limits, public_uri(uri))
    return Copied(digest, format_by_name(file_name(uri)))


def copy_folder(folder: int, target: Path, limits: Limits, name: str) -> Copied:
    """Copies the parts of an open folder as one archive; see `lazaretto.batch._parts.packed`."""
    kind = (format_by_name(part_names(folder, name)[0]) or "").partition(".")[0]
    return Copied(_copy_blocks(packed(folder, name), target, limits, name), f"{kind}.tar")


def copy_bytes(file: IO[bytes], target: Path, limits: Limits, name: str) -> str:
    """Copies an open file, as far as the limits allow, and returns the sha256 (hex) of its bytes.

    Args:
        file: read from where it stands to its end.
        target: the copy.
        limits: how many bytes there may be.
        name: of the file, for messages.

    Raises:
        DeliveryError: ``too_large``.
        SystemFaultError: it stops coming, or there is no room for the copy.
    """
    return _copy_blocks(iter(lambda: _read(file, _BLOCK, name), b""), target, limits, name)


def _copy_blocks(source: Iterator[bytes], target: Path, limits: Limits, name: str) -> str:
    digest, size = hashlib.sha256(), 0
    # What goes wrong with the delivery itself has its own error before it gets here.
    with as_system_fault(f"{name} cannot be copied to {target.parent}"), target.open("wb") as copy:
        for block in source:
            size += len(block)
            if size > limits.max_bytes:
                raise DeliveryError(
                    f"{name} has more than limits.max_bytes = {limits.max_bytes:,} bytes",
                    code="too_large",
                )
            digest.update(block)
            copy.write(block)
    return digest.hexdigest()


def delivery_digest(uri: str | Path) -> str:
    """sha256 (hex) of what a delivery is checked by: a file's bytes, or the archive of a folder.

    Raises:
        DeliveryError: it cannot be read, or the folder is no delivery.
        NotArrivedError: the folder is still being written.
    """
    path = local_path(str(uri))
    if path is None or not Path(path).is_dir():
        return file_digest(uri)
    digest = hashlib.sha256()
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for block in packed(folder, public_uri(uri)):
            digest.update(block)
    finally:
        os.close(folder)
    return digest.hexdigest()


def blocks(path: Path) -> Iterator[bytes]:
    """A file in blocks."""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def read_envelope(manifest: bytes | str | Path | None, places: Places) -> bytes | None:
    """The DSSE envelope, given as bytes, as JSON text, or by path or URI.

    Args:
        manifest: the envelope, or where it is.
        places: from where it may be read.

    Raises:
        DeliveryError: ``bad_envelope`` when it is too large to be one, or a code of
            `lazaretto.batch._places.open_delivery`.
        NotArrivedError: it is not there (yet).
        SystemFaultError: it cannot be read now.
    """
    if manifest is None:
        return None
    if isinstance(manifest, bytes):
        envelope = manifest
    elif isinstance(manifest, str) and manifest.lstrip().startswith("{"):
        envelope = manifest.encode("utf-8", "replace")
    else:
        with open_delivery(str(manifest), places) as file:
            envelope = _read(file, _MAX_ENVELOPE + 1, public_uri(manifest))
    if len(envelope) > _MAX_ENVELOPE:
        raise DeliveryError("the manifest has more than a megabyte", code="bad_envelope")
    return envelope


def _read(file: IO[bytes], size: int, name: str) -> bytes:
    """The next bytes, as many as there are up to `size`; a connection gives them in pieces."""
    found = bytearray()
    try:
        while len(found) < size and (block := file.read(size - len(found))):
            found += block
    except Exception as error:  # every driver has its own
        raise cannot_be_reached(name, error) from None
    return bytes(found)
