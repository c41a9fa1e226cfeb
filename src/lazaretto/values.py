"""Values that every room speaks of: verdicts, actors, signatures and references to a batch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003  pydantic reads these types at run time
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What the gate decided about a batch. An abstention never passes."""

    PASS = "PASS"  # noqa: S105
    HOLD_RECORDS = "HOLD_RECORDS"
    HOLD_BATCH = "HOLD_BATCH"
    ABSTAIN = "ABSTAIN"

    @property
    def holds_batch(self) -> bool:
        """Whether nothing of the batch may be admitted without a person's decision."""
        return self in (Verdict.HOLD_BATCH, Verdict.ABSTAIN)


class Action(StrEnum):
    """What a reviewer decided about held records."""

    RELEASE = "RELEASE"
    REJECT = "REJECT"
    RELABEL = "RELABEL"
    REWEIGHT = "REWEIGHT"


class TrustTier(StrEnum):
    """How far a source is trusted."""

    TRUSTED = "TRUSTED"
    REVIEWED = "REVIEWED"
    UNTRUSTED = "UNTRUSTED"
    REVOKED = "REVOKED"


class SignatureStatus(StrEnum):
    """What became of the check of a delivery's manifest."""

    VERIFIED = "VERIFIED"
    UNSIGNED = "UNSIGNED"
    INVALID = "INVALID"
    UNKNOWN_KEY = "UNKNOWN_KEY"
    EXPIRED_KEY = "EXPIRED_KEY"
    REVOKED_KEY = "REVOKED_KEY"


class ActorType(StrEnum):
    """Who acted: the policy by itself, a person, or a service."""

    POLICY = "POLICY"
    HUMAN = "HUMAN"
    SERVICE = "SERVICE"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did something, as stored for audit.

    Attributes:
        type: policy, human or service.
        id: URN-like name: ``user:jdoe``, ``policy:reviews``, ``service:airflow``.
    """

    type: ActorType
    id: str


@dataclass(frozen=True, slots=True)
class Signature:
    """Result of checking a manifest.

    Attributes:
        status: see `SignatureStatus`.
        key_id: DSSE key id, when there was a signature.
        scheme: signature scheme, such as ``ed25519``.
        envelope_uri: where the DSSE envelope is kept in the store.
        envelope_digest: sha256 (hex) of the envelope's bytes.
    """

    status: SignatureStatus
    key_id: str | None = None
    scheme: str | None = None
    envelope_uri: str | None = None
    envelope_digest: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyRef:
    """Which policy judged: its dataset, its path as given and the sha256 (hex) of its file."""

    dataset: str
    sha256: str
    path: str | None = None


@dataclass(frozen=True, slots=True)
class BatchRef:
    """What travels between tasks: identity and whereabouts of a received batch, never data.

    Attributes:
        id: ``{source}/{yyyymmdd}/{16 hex of the content digest}``.
        source: source name.
        uri: URI of the immutable copy in the store.
        digest: sha256 (hex) of the canonical content.
        rows: number of records.
        received_at: UTC time of receipt.
        seq: ledger entry of the receipt; 0 where that is not known.
    """

    id: str
    source: str
    uri: str
    digest: str
    rows: int
    received_at: datetime
    seq: int = 0


def to_json(value: object) -> Any:
    """JSON values of any of our frozen dataclasses, as travels between Airflow tasks (XCom).

    Datetimes become ISO 8601 text and enums their value; nothing of the data itself is in them.
    """
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value)
