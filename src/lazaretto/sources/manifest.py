"""Source manifests: what a source says it delivers, signed: in-toto Statement v1 in DSSE.

The statement's subject is the file's name and the sha256 of its bytes, or those of every file of a
folder (`lazaretto.sources.folder`); the predicate says who collected it and when. Formats:
https://github.com/in-toto/attestation (Statement v1) and
https://github.com/secure-systems-lab/dsse (envelope v1). Keys are Ed25519, or ECDSA on P-256.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from securesystemslib import dsse

from lazaretto.batch._delivery import delivered_digest
from lazaretto.batch._files import file_name
from lazaretto.errors import DeliveryError, UsageError
from lazaretto.redact import safe_uri
from lazaretto.sources.keys import key_identity, keygen, load_signer
from lazaretto.sources.signer import check_key, signing_key
from lazaretto.sources.statement import (
    PAYLOAD_TYPE,
    FolderStatement,
    Statement,
    parse_envelope,
    parse_statement,
    problems,
)
from lazaretto.values import Signature, SignatureStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lazaretto.sources.source_key import SourceKey

__all__ = [
    "PREDICATE_TYPE",
    "Manifest",
    "check_file",
    "key_identity",
    "keygen",
    "sign_manifest",
    "verify_manifest",
]

PREDICATE_TYPE = "urn:lazaretto:attestation:source-manifest:v1"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a source signed. All times are UTC.

    Attributes:
        source: who delivers.
        subject: name of the delivered file or folder.
        sha256: of its bytes, hex; of a folder, of the list of its files (`listing_digest`).
        collected_from: start of when the records were collected; a compromise window meets it.
            None: a folder's manifest does not say.
        collected_to: end of it; None likewise.
        issued_at: when it was signed, by the source's clock.
        expires: when it stops being accepted; None: never.
        rows: number of records, where the source says it.
        files: of a folder: sha256 (hex) of every file by its path; None: it is about one file.
    """

    source: str
    subject: str
    sha256: str
    collected_from: datetime | None
    collected_to: datetime | None
    issued_at: datetime
    expires: datetime | None
    rows: int | None
    files: Mapping[str, str] | None = None


def sign_manifest(
    uri: str | Path,
    *,
    source: str,
    private_key: bytes,
    collected_from: datetime,
    collected_to: datetime,
    issued_at: datetime | None = None,
    expires: datetime | None = None,
    rows: int | None = None,
) -> bytes:
    """Signs a manifest for a file.

    Args:
        uri: the file to deliver; its bytes are hashed.
        source: name of the source, as registered with the receiver.
        private_key: PEM, as `keygen` gives it.
        collected_from: aware time; start of the records' collection.
        collected_to: aware time; end of it.
        issued_at: aware time of signing; default now.
        expires: aware time from which the manifest is refused; default never.
        rows: number of records; checked by the receiver when given.

    Returns:
        DSSE envelope, JSON.

    Raises:
        UsageError: a time without time zone or out of order, or a key that cannot be used.
        DeliveryError: the file cannot be read.

    Examples:
        >>> from datetime import UTC, datetime
        >>> from pathlib import Path
        >>> envelope = sign_manifest(
        ...     "monday.parquet",
        ...     source="vendor",
        ...     private_key=Path("vendor.key").read_bytes(),
        ...     collected_from=datetime(2026, 3, 2, tzinfo=UTC),
        ...     collected_to=datetime(2026, 3, 3, tzinfo=UTC),
        ... )
        >>> _ = Path("monday.parquet.manifest.json").write_bytes(envelope)
    """
    predicate: dict[str, Any] = {
        "source": source,
        "collectedFrom": collected_from,
        "collectedTo": collected_to,
        "issuedAt": issued_at or datetime.now(UTC),
        "expires": expires,
        "rows": rows,
    }
    subject = {"name": file_name(str(uri)), "digest": {"sha256": delivered_digest(uri)}}
    try:
        statement = Statement.model_validate(
            {
                "_type": STATEMENT_TYPE,
                "subject": [subject],
                "predicateType": PREDICATE_TYPE,
                "predicate": predicate,
            }
        )
    except ValidationError as error:
        raise UsageError(f"the manifest is not valid: {problems(error)}") from error
    return seal(statement, private_key)


def seal(statement: Statement | FolderStatement, private_key: bytes) -> bytes:
    """Signs a statement: the DSSE envelope around it, JSON.

    Raises:
        UsageError: the key cannot be used.
    """
    payload = statement.model_dump_json(by_alias=True, exclude_none=True).encode()
    envelope = dsse.Envelope(payload, PAYLOAD_TYPE, {})
    envelope.sign(load_signer(private_key))
    return json.dumps(envelope.to_dict()).encode()


def listing_digest(files: Mapping[str, str]) -> str:
    """sha256 (hex) of a list of files: what `sha256sum` prints of them, sorted by path.

    Args:
        files: sha256 (hex) by path.

    Examples:
        >>> listing_digest({"b": "0" * 64, "a": "1" * 64})[:16]
        'fabf5fb920fd6814'
    """
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{files[name]}  {name}\n".encode())
    return digest.hexdigest()


def verify_manifest(
    envelope: bytes, keys: Sequence[SourceKey], *, now: datetime, clock_skew: timedelta
) -> tuple[Manifest, Signature]:
    """Checks a manifest against a source's pinned keys.

    A key is judged at `now`, not at the time the manifest claims: who stole a key can backdate.

    Args:
        envelope: DSSE envelope, JSON.
        keys: all keys ever pinned for the source, revoked ones too.
        now: aware time of receipt.
        clock_skew: how far the source's clock may be off.

    Returns:
        The manifest, and how it was signed.

    Raises:
        DeliveryError: ``bad_envelope``, ``unknown_key``, ``bad_signature``, ``revoked_key``,
            ``expired_key``, ``other_source``, ``not_yet_valid`` or ``expired_manifest``.

    Examples:
        >>> from pathlib import Path
        >>> from lazaretto.sources.registry import get_source
        >>> now = datetime.now(UTC)
        >>> envelope = sign_manifest(
        ...     "monday.parquet",
        ...     source="vendor",
        ...     private_key=Path("vendor.key").read_bytes(),
        ...     collected_from=now - timedelta(days=1),
        ...     collected_to=now,
        ... )
        >>> keys = get_source(workspace, "vendor").keys
        >>> skew = timedelta(minutes=5)
        >>> manifest, signature = verify_manifest(envelope, keys, now=now, clock_skew=skew)
        >>> manifest.source
        'vendor'
    """
    parsed = parse_envelope(envelope)
    key = signing_key(parsed, keys)
    check_key(key, now)
    manifest = _manifest(parse_statement(parsed.payload))
    if manifest.source not in key.names:
        raise DeliveryError(
            f"the manifest is for source {manifest.source!r}, but signed with a key of "
            f"{key.source!r}",
            code="other_source",
        )
    if manifest.issued_at > now + clock_skew:
        raise DeliveryError(
            f"the manifest was issued at {manifest.issued_at:%Y-%m-%dT%H:%M:%SZ}, which is "
            f"{_seconds(manifest.issued_at - now)} s from now, more than the "
            f"{_seconds(clock_skew)} s of clock skew allowed; check the source's clock",
            code="not_yet_valid",
        )
    if manifest.expires is not None and manifest.expires <= now - clock_skew:
        raise DeliveryError(
            f"the manifest expired at {manifest.expires:%Y-%m-%dT%H:%M:%SZ}; sign a new one",
            code="expired_manifest",
        )
    return manifest, Signature(SignatureStatus.VERIFIED, key.key_id, key.scheme)


def check_file(manifest: Manifest, uri: str | Path) -> str:
    """Checks a file's bytes against its manifest; to be called before anything parses the file.

    Args:
        manifest: about one file; `lazaretto.sources.folder.check_folder` is for a folder's.
        uri: the file.

    Returns:
        sha256 (hex) of the bytes.

    Raises:
        DeliveryError: ``digest_mismatch``, or ``unreadable``.
    """
    found = delivered_digest(uri)
    if found != manifest.sha256:
        raise DeliveryError(
            f"{safe_uri(str(uri))}: its sha256 is {found[:16]}…, but the manifest signs "
            f"{manifest.sha256[:16]}… ({manifest.subject[:80]!r}): other bytes than the source "
            "sent",
            code="digest_mismatch",
        )
    return found


def _manifest(statement: Statement | FolderStatement) -> Manifest:
    said = statement.predicate
    if isinstance(statement, FolderStatement):
        files = {subject.name: subject.digest.sha256 for subject in statement.subject}
        name, sha256 = statement.predicate.folder, listing_digest(files)
    else:
        files, [subject] = None, statement.subject
        name, sha256 = subject.name, subject.digest.sha256
    return Manifest(
        source=said.source,
        subject=name,
        sha256=sha256,
        collected_from=_utc(said.collected_from),
        collected_to=_utc(said.collected_to),
        issued_at=said.issued_at.astimezone(UTC),
        expires=_utc(said.expires),
        rows=said.rows,
        files=files,
    )


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)


def _seconds(span: timedelta) -> int:
    return int(span.total_seconds())
