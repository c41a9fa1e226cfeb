"""Which of a source's keys signed an envelope, and whether it counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
from securesystemslib.signer import Signature as DsseSignature  # type: ignore[attr-defined]

from lazaretto.errors import DeliveryError
from lazaretto.sources.keys import load_public_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from securesystemslib import dsse

    from lazaretto.sources.source_key import SourceKey


def signing_key(envelope: dsse.Envelope, keys: Sequence[SourceKey]) -> SourceKey:
    """The pinned key that made one of the signatures. Key ids are only hints, so all are tried.

    Raises:
        DeliveryError: ``bad_signature`` or ``unknown_key``.
    """
    data = envelope.pae()
    for signature in envelope.signatures.values():
        for key in keys:
            public = load_public_key(key.public_key)
            try:
                public.verify_signature(DsseSignature(public.keyid, signature.signature), data)
            except (UnverifiedSignatureError, VerificationError):
                continue
            return key
    named = next(iter(envelope.signatures))[:16]
    if any(key.key_id in envelope.signatures for key in keys):
        raise DeliveryError(
            f"the manifest's signature by key {named!r}… is wrong: it was changed after signing",
            code="bad_signature",
        )
    raise DeliveryError(
        f"the manifest is signed by key {named!r}…, which is not pinned for this source; "
        "if it is the source's own, pin it: `lazaretto source add NAME --key FILE`",
        code="unknown_key",
    )


def check_key(key: SourceKey, now: datetime) -> None:
    """Refuses a key that does not count at a moment.

    Raises:
        DeliveryError: ``revoked_key``, ``expired_key`` or ``not_yet_valid``.
    """
    name = f"key {key.key_id[:16]}… of {key.source}"
    if key.revoked_at is not None and now >= key.revoked_at:
        raise DeliveryError(
            f"{name} is revoked since {key.revoked_at:%Y-%m-%dT%H:%M:%SZ}; sign with another",
            code="revoked_key",
        )
    if key.valid_to is not None and now >= key.valid_to:
        raise DeliveryError(
            f"{name} expired at {key.valid_to:%Y-%m-%dT%H:%M:%SZ}; sign with another",
            code="expired_key",
        )
    if now < key.valid_from:
        raise DeliveryError(
            f"{name} is valid only from {key.valid_from:%Y-%m-%dT%H:%M:%SZ} on",
            code="not_yet_valid",
        )
