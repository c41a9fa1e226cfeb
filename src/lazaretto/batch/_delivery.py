"""Getting at a delivery: its bytes within limits, its manifest, its public name."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from lazaretto.addresses import LOCAL, MANIFEST_SUFFIX, AddressError, read_address
from lazaretto.batch._files import file_digest, file_name, is_folder, split_pattern
from lazaretto.batch._folder import pack_folder
from lazaretto.batch._format import format_by_name
from lazaretto.batch._parts import find_parts
from lazaretto.batch._places import (
    OF_THIS_MACHINE,
    as_folder,
    check_address,
    open_delivery,
    open_folder,
)
from lazaretto.batch._remote import cannot_be_reached
from lazaretto.batch._several import one_address, split_several
from lazaretto.errors import DeliveryError, NotArrivedError
from lazaretto.faults import as_system_fault
from lazaretto.redact import safe_uri
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lazaretto.batch._places import Places
    from lazaretto.batch._whole import Whole
    from lazaretto.policy import Limits

_BLOCK = 1 << 20
_MAX_ENVELOPE = 32 << 20


def public_uri(uri: str | Path) -> str:
    """The address as it goes on record: absolute, without credentials, of bounded length."""
    text = as_folder(str(uri))
    try:
        several = split_several(text)
        if several is not None:
            text = several.shown
        address = read_address(text)
    except (AddressError, DeliveryError):
        return safe_uri(text)
    # A relative path that looks like a user at a host is no address of a file.
    odd = address.scheme == LOCAL and safe_uri(text) != excerpt(text, 2_000)
    return safe_uri(text if odd else address.uri)


def shown_address(uri: str | Path | Sequence[str | Path]) -> str:
    """The same of a delivery of one file or several, whatever is wrong with its address."""
    try:
        return public_uri(one_address(uri))
    except DeliveryError:
        return safe_uri(str(uri))


class Copied(NamedTuple):
    """A delivery that was copied to this machine.

    Attributes:
        sha256: hex digest of its bytes.
        format: as its name says it: `lazaretto.batch.format_by_name`, with ``.tar`` for a folder of
            part files; None where nothing says it, as for a folder of images.
        files: of a folder: sha256 (hex) of each of its files, by path; None: it is one file.
    """

    sha256: str
    format: str | None
    files: dict[str, str] | None = None


def copy_delivery(uri: str, target: Path, limits: Limits, places: Places) -> Copied:
    """Copies a delivery to this machine.

    A folder of images or part files, files whose names match a pattern such as ``2024-*.csv``, and
    several files, become one archive, whose digest depends on their paths and bytes alone.

    Raises:
        DeliveryError: ``too_large``, or a code of `lazaretto.batch._places.open_delivery`,
            `lazaretto.batch._folder.pack_folder` or `lazaretto.batch._parts.find_parts`.
        NotArrivedError: it is not there (yet).
        SystemFaultError: it stops coming, or there is no room for the copy.
    """
    name = public_uri(uri)
    with _as_whole(uri, places) as whole:
        if whole is None:
            with open_delivery(uri, places) as file:
                digest = copy_bytes(file, target, limits, name)
            return Copied(digest, format_by_name(file_name(uri)))
        with as_system_fault(f"{name} cannot be copied to {target.parent}"):
            parts = find_parts(whole.folder, name, pattern=whole.pattern, listed=whole.listed)
            paths = None if parts is None else parts.names
            digest, files = pack_folder(whole.folder, target, limits, name, paths=paths)
            return Copied(digest, None if parts is None else f"{parts.format}.tar", files)


def require_arrived(uri: str, places: Places) -> None:
    """Says what is wrong with a delivery that cannot be opened; no file of it is read.

    Raises:
        DeliveryError: as `copy_delivery`, of its files' names and kinds.
        NotArrivedError: it, or a file of several, is not there (yet), or is still being written.
        SystemFaultError: the place may not be entered, or the disk or the network fails.
    """
    with _as_whole(uri, places) as whole:
        if whole is None:
            open_delivery(uri, places).close()
        else:
            name = public_uri(uri)
            find_parts(whole.folder, name, pattern=whole.pattern, listed=whole.listed)


class _Whole(NamedTuple):
    """A folder whose files are a delivery: all of them, those of a pattern, or a list of them."""

    folder: Whole
    pattern: str | None
    listed: list[str] | None


@contextmanager
def _as_whole(uri: str, places: Places) -> Iterator[_Whole | None]:
    """Opens what a delivery of several files lies in; None for one file."""
    several, of_pattern = split_several(uri), split_pattern(uri)
    pattern, listed, where = None, None, uri
    if several is not None:
        check_address(uri, places)
        where, listed = several
    elif of_pattern is not None:
        where, pattern = of_pattern
    folder = open_folder(where, places)
    if folder is None:
        if where != uri:
            open_delivery(where, places).close()  # which says what is wrong with it
            raise DeliveryError(
                f"{public_uri(where)} is no folder: several files are named by one that holds them",
                code="not_a_regular_file",
            )
        yield None
        return
    try:
        # In a bucket, what is called so is that file.
        yield None if pattern and folder.has(pattern) else _Whole(folder, pattern, listed)
    finally:
        folder.close()


def is_several(uri: str) -> bool:
    """Whether an address is of a folder of this machine, or of several files."""
    return is_folder(uri) or split_several(uri) is not None or split_pattern(uri) is not None


def delivered_digest(uri: str | Path) -> str:
    """sha256 (hex) of a file, or of the archive that a folder becomes: what is signed.

    Raises:
        DeliveryError: a code of `lazaretto.batch._files.open_file` or
            `lazaretto.batch._folder.pack_folder`.

    Example:
        >>> from lazaretto.batch import file_digest
        >>> delivered_digest("monday.parquet") == file_digest("monday.parquet")
        True
    """
    from lazaretto.policy import Limits

    if not is_several(str(uri)):
        return file_digest(uri)
    return copy_delivery(str(uri), Path(os.devnull), Limits(), OF_THIS_MACHINE).sha256


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
    digest, size = hashlib.sha256(), 0
    # What goes wrong with the delivery itself has its own error before it gets here.
    with as_system_fault(f"{name} cannot be copied to {target.parent}"), target.open("wb") as copy:
        while block := _read(file, _BLOCK, name):
            size += len(block)
            if size > limits.max_bytes:
                raise DeliveryError(
                    f"{name} has more than limits.max_bytes = {limits.max_bytes:,} bytes",
                    code="too_large",
                )
            digest.update(block)
            copy.write(block)
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
        raise DeliveryError(
            f"the manifest has more than {_MAX_ENVELOPE:,} bytes", code="bad_envelope"
        )
    return envelope


def envelope_beside(uri: str, places: Places) -> bytes | None:
    """The DSSE envelope that lies beside a delivery, by the delivery's name and `MANIFEST_SUFFIX`.

    What has that name is the manifest, whatever it is: a link or a pipe is refused. Only where
    nothing has it, or where it lies in none of the places, there is none.

    Args:
        uri: the delivery, whose address was checked.
        places: from where it may be read.

    Returns:
        None: there is none (yet). None, too, for an address that holds a query: what is behind its
        `?` was made for that one file.

    Raises:
        DeliveryError: as `read_envelope`.
        SystemFaultError: nothing says whether there is one.
    """
    delivery = check_address(uri, places).uri
    if "://" in delivery and "?" in delivery:
        return None
    beside = delivery + MANIFEST_SUFFIX
    try:
        check_address(beside, places)
    except DeliveryError:
        return None
    try:
        return read_envelope(beside, places)
    except NotArrivedError:
        return None


def _read(file: IO[bytes], size: int, name: str) -> bytes:
    """The next bytes, as many as there are up to `size`; a connection gives them in pieces."""
    found = bytearray()
    try:
        while len(found) < size and (block := file.read(size - len(found))):
            found += block
    except Exception as error:  # every driver has its own
        raise cannot_be_reached(name, error) from None
    return bytes(found)
