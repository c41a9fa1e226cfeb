"""Getting at a delivery: its bytes within limits, its manifest, its public name."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from lazaretto.batch._files import file_name, open_file, shown
from lazaretto.errors import DeliveryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.policy import Limits

_BLOCK = 1 << 20
_MAX_ENVELOPE = 1 << 20


def public_uri(uri: str | Path) -> str:
    """The URI as it goes on record: absolute, without credentials."""
    text = str(uri)
    return shown(text) if "://" in text else str(Path(text).expanduser().absolute())


def suffix_of(uri: str) -> str:
    """Extension of a delivery, by which its format is told; empty for anything unusual."""
    suffix = Path(file_name(uri)).suffix
    return suffix if re.fullmatch(r"\.[A-Za-z0-9]{1,16}", suffix) else ""


def copy_bytes(uri: str, target: Path, limits: Limits) -> str:
    """Copies a delivery to this machine and returns the sha256 (hex) of its bytes.

    Raises:
        DeliveryError: ``unreadable`` or ``too_large``.
    """
    digest, size = hashlib.sha256(), 0
    with open_file(uri) as file, target.open("wb") as copy:
        while block := file.read(_BLOCK):
            size += len(block)
            if size > limits.max_bytes:
                raise DeliveryError(
                    f"{shown(uri)} has more than limits.max_bytes = {limits.max_bytes:,} bytes",
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


def read_envelope(manifest: bytes | str | Path | None) -> bytes | None:
    """The DSSE envelope, given as bytes, as JSON text, or by path or URI.

    Raises:
        DeliveryError: ``unreadable``, or ``bad_envelope`` when it is too large to be one.
    """
    if manifest is None:
        return None
    if isinstance(manifest, bytes):
        envelope = manifest
    elif isinstance(manifest, str) and manifest.lstrip().startswith("{"):
        envelope = manifest.encode()
    else:
        with open_file(str(manifest)) as file:
            envelope = file.read(_MAX_ENVELOPE + 1)
    if len(envelope) > _MAX_ENVELOPE:
        raise DeliveryError("the manifest has more than a megabyte", code="bad_envelope")
    return envelope
