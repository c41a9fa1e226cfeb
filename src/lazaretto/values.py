"""Values that every room speaks of: verdicts, actors, signatures and references to a batch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003  pydantic reads these types at run time
from enum import StrEnum
from typing import Any, ClassVar


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


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a batch: its name and Arrow type, as text."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class RuleCount:
    """How many records broke one rule of the contract."""

    rule: str
    column: str | None
    failed: int
    text: str


@dataclass(frozen=True, slots=True)
class TestSummary:
    """One batch-level test: it fires when ``p_value <= alpha``."""

    __test__: ClassVar[bool] = False

    name: str
    p_value: float | None
    alpha: float
    fired: bool
    detail: str


@dataclass(frozen=True, slots=True)
class DetectorSummary:
    """One detector of a screening: its mode and how many records it alone would have held."""

    name: str
    mode: str
    would_hold: int


@dataclass(frozen=True, slots=True)
class Member:
    """How many records of one batch a snapshot or a recall contains."""

    batch: str
    rows: int


@dataclass(frozen=True, slots=True)
class ClassSummary:
    """Class-level outcome of sanitizing."""

    label: str
    n: int
    statistic: float
    p_value: float | None
    fired: bool
    n_held: int


@dataclass(frozen=True, slots=True)
class BatchEvidence:
    """What a batch tells of its source: its tests, and its records with a small p-value."""

    tests: float | None
    small: int
    scored: int


@dataclass(frozen=True, slots=True)
class ColumnMove:
    """How far one column, or one axis of the embedding, is from the reference's."""

    column: str
    kind: str
    psi: float
    ks: float | None
    adjusted: float
    band: str
    nulls: float


@dataclass(frozen=True, slots=True)
class DriftSummary:
    """Drift of a batch's columns: how many were compared, how many moved, those that moved most."""

    rows: int
    columns: int
    moved: int
    unknown: int
    level: float
    worst: list[ColumnMove]
    golden_mismatch: float | None
    uri: str
    digest: str


@dataclass(frozen=True, slots=True)
class TriageSummary:
    """What most likely happened to a batch, and why; it informs, and decides nothing."""

    category: str
    scores: dict[str, float]
    evidence: list[str]


@dataclass(frozen=True, slots=True)
class PromotionChange:
    """What a promotion changes on past batches, by the reference that was in use."""

    batches: int
    verdicts: int
    no_longer_held: int
    newly_held: int
