"""The delivered bytes are those that the source signed: of a file, or of each file of a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.errors import DeliveryError
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from lazaretto.batch._delivery import Copied
    from lazaretto.sources.manifest import Manifest

_SHOWN = 10


def require_signed(stated: Manifest, copied: Copied, uri: str) -> None:
    """Refuses a delivery of other bytes than its manifest signs, and names the files.

    Of a folder, every file that is received must be signed, and every signed one received. What
    readers of part files pass over (names that begin with ``_`` or ``.``) is not received, and may
    be signed or not.

    Args:
        stated: the manifest, whose signature was checked.
        copied: the bytes that are kept.
        uri: of the delivery, for messages.

    Raises:
        DeliveryError: ``digest_mismatch``.
    """
    if stated.files is None:
        if stated.sha256 != copied.sha256:
            raise _mismatch(
                f"{uri} has sha256 {copied.sha256}, its manifest was signed for {stated.sha256}: "
                "sign the file that is delivered"
            )
        return
    if copied.files is None:
        raise _mismatch(
            f"{uri} is one file, and its manifest was signed for folder "
            f"{excerpt(stated.subject, 80)!r}: sign the file that is delivered"
        )
    wanted = {name: digest for name, digest in stated.files.items() if not _passed_over(name)}
    found = [f"{excerpt(name, 80)!r} is missing" for name in sorted(wanted.keys() - copied.files)]
    for name, digest in sorted(copied.files.items()):
        if name not in wanted:
            found.append(f"{excerpt(name, 80)!r} was not signed")
        elif wanted[name] != digest:
            found.append(f"{excerpt(name, 80)!r} has other bytes")
    if found:
        more = f", and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
        raise _mismatch(
            f"{uri} is not what its manifest was signed for: {'; '.join(found[:_SHOWN])}{more}. "
            "`lazaretto manifest verify` names each file"
        )


def _passed_over(name: str) -> bool:
    return any(part.startswith(("_", ".")) for part in name.split("/"))


def _mismatch(text: str) -> DeliveryError:
    return DeliveryError(text, code="digest_mismatch")
