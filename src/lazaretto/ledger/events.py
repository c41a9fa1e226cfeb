"""What the ledger records: one frozen dataclass per kind of event, in JSON-ready fields.

The ledger is the single source of truth. The lineage index and the OpenLineage events are
projections of these entries, made by `lazaretto.lineage`, so whatever a projection needs is here.
Fields hold only str, int, float, bool, None, lists, dicts, enums, datetimes (UTC) and dataclasses
of them; `to_payload` and `from_payload` turn an event into canonical JSON values and back.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime  # noqa: TC003  pydantic reads the annotations
from functools import cache
from typing import TYPE_CHECKING, ClassVar

from pydantic import TypeAdapter, ValidationError

from lazaretto.errors import LedgerError
from lazaretto.values import (
    Action,
    BatchEvidence,
    ClassSummary,
    Column,
    ColumnRoles,
    DetectorSummary,
    DriftSummary,
    Member,
    OpenedCase,
    PolicyRef,
    PromotionChange,
    RuleCount,
    Signature,
    StoredFile,
    TestSummary,
    TriageSummary,
    TrustTier,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Event:
    """Base of every event. `kind` names it in the ledger."""

    kind: ClassVar[str]


@dataclass(frozen=True, slots=True)
class SourceRegistered(Event):
    """A source was added or changed its trust tier."""

    kind: ClassVar[str] = "source_registered"
    source: str
    trust_tier: TrustTier


@dataclass(frozen=True, slots=True)
class KeyAdded(Event):
    """A source's public key was pinned."""

    kind: ClassVar[str] = "key_added"
    source: str
    key_id: str
    scheme: str
    public_key: str
    valid_from: datetime
    valid_to: datetime | None


@dataclass(frozen=True, slots=True)
class KeyRevoked(Event):
    """A source's key was revoked, from a moment on."""

    kind: ClassVar[str] = "key_revoked"
    source: str
    key_id: str
    revoked_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class DeliveryRefused(Event):
    """A delivery was turned away before it became a batch."""

    kind: ClassVar[str] = "delivery_refused"
    source: str
    uri: str
    code: str
    reason: str
    signature: Signature
    file_digest: str | None = None


@dataclass(frozen=True, slots=True)
class BatchReceived(Event):
    """A delivery was authenticated, decoded once, and kept.

    Attributes:
        batch: its id.
        source: who delivered it.
        trust_tier: of the source when it arrived.
        uri: where it was delivered, without credentials.
        format: of the delivered file.
        digest: sha256 (hex) of its canonical content; with the source, the batch's identity.
        delivered: the delivered bytes, kept as evidence.
        stored: the canonical copy, which every later stage reads.
        rows: records.
        columns: of the canonical copy.
        received_at: UTC time of receipt.
        collected_from: start of the time that its records are from, as the source says.
        collected_to: end of it.
        signature: what became of the check of its manifest.
    """

    kind: ClassVar[str] = "batch_received"
    batch: str
    source: str
    trust_tier: TrustTier
    uri: str
    format: str
    digest: str
    delivered: StoredFile
    stored: StoredFile
    rows: int
    columns: list[Column]
    received_at: datetime
    collected_from: datetime | None
    collected_to: datetime | None
    signature: Signature


@dataclass(frozen=True, slots=True)
class BatchValidated(Event):
    """A batch was held against its contract."""

    kind: ClassVar[str] = "batch_validated"
    batch: str
    policy: PolicyRef
    contract: str | None
    rows: int
    failing_rows: int
    rules: list[RuleCount]
    broken: list[str]
    failures: StoredFile


@dataclass(frozen=True, slots=True)
class BatchEmbedded(Event):
    """A batch's records were turned into vectors."""

    kind: ClassVar[str] = "batch_embedded"
    batch: str
    policy: PolicyRef
    encoder: str
    encoder_digest: str
    dimensions: int
    rows: int
    vectors: StoredFile


@dataclass(frozen=True, slots=True)
class BatchScreened(Event):
    """A batch was screened against a reference."""

    kind: ClassVar[str] = "batch_screened"
    batch: str
    policy: PolicyRef
    reference: str
    reference_version: str
    reference_digest: str
    verdict: Verdict
    rows: int
    held: int
    false_quarantine_rate: float
    power: int | None
    detectors: list[DetectorSummary]
    tests: list[TestSummary]
    scores: StoredFile
    note: str | None = None
    batch_p_value: float | None = None
    evidence: BatchEvidence | None = None
    drift: DriftSummary | None = None
    triage: TriageSummary | None = None


@dataclass(frozen=True, slots=True)
class PolicyRegistered(Event):
    """From here on a dataset is admitted by this policy, until the next entry of this kind.

    Attributes:
        dataset: its name.
        policy: which policy.
        says: what it says, as canonical JSON; see `lazaretto.policy.Policy.says`.
        contract: sha256 (hex) of the contract that it names; None where it names none.
        previous: meaning that was in force before; None for the first.
        reason: why, in a person's words; for the first, what used it.
    """

    kind: ClassVar[str] = "policy_registered"
    dataset: str
    policy: PolicyRef
    says: str
    contract: str | None
    previous: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class BatchJudged(Event):
    """The gate closed: quarantine is written, the verdict stands. The commit point of a batch.

    Attributes:
        batch: its id.
        policy: that was in force for its dataset.
        verdict: see `Verdict`.
        rows: records of the batch.
        held: records in quarantine.
        cleared: records that may be admitted.
        case: id of the review case; None when nothing is held.
        held_records: file with the held rows and their reasons.
        columns: which column plays which part.
        two_people: whether another person must publish than who decided.
        inputs: sha256 (hex) of all that was judged and by what: the same again is the same verdict.
        reasons: held records by the signature of their first reason.
        notes: what is wrong with the batch, in words.
        replaces: ledger entry of an earlier judgement for this dataset that nobody had acted on.
    """

    kind: ClassVar[str] = "batch_judged"
    batch: str
    policy: PolicyRef
    verdict: Verdict
    rows: int
    held: int
    cleared: int
    case: str | None
    held_records: StoredFile | None
    columns: ColumnRoles
    two_people: bool
    inputs: str
    reasons: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    replaces: int | None = None


@dataclass(frozen=True, slots=True)
class ShadowJudged(Event):
    """What a policy that is not in force would have decided; nothing is held or admitted by it.

    Attributes:
        batch: its id.
        policy: that is not in force for its dataset.
        in_force: meaning of the one that is.
        verdict: that it would have given.
        rows: records of the batch.
        held: records that it would have held.
        inputs: as of `BatchJudged`.
        reasons: as of `BatchJudged`.
        notes: as of `BatchJudged`.
    """

    kind: ClassVar[str] = "shadow_judged"
    batch: str
    policy: PolicyRef
    in_force: str
    verdict: Verdict
    rows: int
    held: int
    inputs: str
    reasons: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RecordsDecided(Event):
    """A reviewer decided on held records, or undid an earlier decision."""

    kind: ClassVar[str] = "records_decided"
    decision: str
    case: str
    batch: str
    action: Action
    records: int
    ids_digest: str
    ids: StoredFile
    reason: str
    filter: dict[str, str] = field(default_factory=dict)
    label: str | None = None
    weight: float | None = None
    undoes: str | None = None


@dataclass(frozen=True, slots=True)
class AdmissionRefused(Event):
    """Judged records were asked for and did not enter a dataset; they stay where they are.

    Attributes:
        batch: whose records.
        dataset: that they may not enter.
        code: stable machine-readable reason, such as ``revoked_key`` or ``other_policy``.
        reason: the same in words.
        case: that was to be published; None for what the gate had cleared.
    """

    kind: ClassVar[str] = "admission_refused"
    batch: str
    dataset: str
    code: str
    reason: str
    case: str | None = None


@dataclass(frozen=True, slots=True)
class BatchAdmitted(Event):
    """Records of a batch entered the admitted dataset; where there is a case, people released them.

    Attributes:
        batch: whose records.
        dataset: its name.
        version: Delta version that the commit made.
        rows: how many.
        part: ``cleared``, or the id of a publication, which is made of the decisions that it is of.
        policy: under which they were judged.
        columns: of the dataset.
        case: whose publication; None for what the gate had cleared.
    """

    kind: ClassVar[str] = "batch_admitted"
    batch: str
    dataset: str
    version: int
    rows: int
    part: str
    policy: PolicyRef
    columns: list[Column] = field(default_factory=list)
    case: str | None = None


@dataclass(frozen=True, slots=True)
class RecordsRecalled(Event):
    """Records left the admitted dataset again; `models` had already seen them."""

    kind: ClassVar[str] = "records_recalled"
    recall: str
    dataset: str
    version: int
    records: int
    ids_digest: str
    ids: StoredFile
    criteria: dict[str, str]
    members: list[Member]
    models: list[str]
    reason: str


@dataclass(frozen=True, slots=True)
class SnapshotTaken(Event):
    """A training view of one version of the admitted dataset, and the batches really in it."""

    kind: ClassVar[str] = "snapshot_taken"
    dataset: str
    version: int
    rows: int
    digest: str
    members: list[Member]


@dataclass(frozen=True, slots=True)
class TrainingSanitized(Event):
    """A training set was examined by the activations of a model trained on it."""

    kind: ClassVar[str] = "training_sanitized"
    dataset: str
    version: int
    model: str
    policy: PolicyRef
    methods: list[str]
    layers: list[str]
    calibrated: bool
    false_quarantine_rate: float
    rows: int
    held: int
    classes: list[ClassSummary]
    scores: StoredFile
    calibration: str | None = None
    cases: list[OpenedCase] = field(default_factory=list)
    columns: ColumnRoles = field(default_factory=ColumnRoles)
    two_people: bool = False


@dataclass(frozen=True, slots=True)
class ModelRegistered(Event):
    """A model version learned from one snapshot."""

    kind: ClassVar[str] = "model_registered"
    model: str
    version: str
    registry: str
    dataset: str
    snapshot: int
    rows: int
    purpose: str
    artifact_uri: str | None = None
    artifact_digest: str | None = None
    external_run_id: str | None = None
    params: dict[str, str] = field(default_factory=dict)
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class ReferenceSaved(Event):
    """A version of a reference was fitted by somebody, and frozen in the store."""

    kind: ClassVar[str] = "reference_saved"
    reference: str
    version: str
    digest: str
    files: list[StoredFile]
    rows: int
    encoder: str
    encoder_digest: str
    profile: StoredFile | None = None
    golden: StoredFile | None = None


@dataclass(frozen=True, slots=True)
class ReferencePromoted(Event):
    """A person made a version the one that batches are judged against; `previous` was it before."""

    kind: ClassVar[str] = "reference_promoted"
    reference: str
    version: str
    digest: str
    previous: str | None
    previous_digest: str | None
    change: PromotionChange | None


@dataclass(frozen=True, slots=True)
class IncidentTraced(Event):
    """Somebody followed a source's window to the models; the answer is kept."""

    kind: ClassVar[str] = "incident_traced"
    source: str
    since: datetime | None
    until: datetime | None
    batches: list[str]
    models: list[str]
    complete: bool
    report: list[StoredFile] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class StoredFileChanged(Event):
    """A stage found that a stored file is gone or was changed; the batch stays where it is.

    Attributes:
        batch: that was worked on.
        stage: what was done to it.
        path: of the file, relative to the store's root.
        expected: sha256 (hex) that is on record.
        found: what is there instead, in words.
    """

    kind: ClassVar[str] = "stored_file_changed"
    batch: str
    stage: str
    path: str
    expected: str
    found: str


_KINDS: dict[str, type[Event]] = {cls.kind: cls for cls in Event.__subclasses__()}


def to_payload(event: Event) -> dict[str, object]:
    """Turns an event into JSON values (datetimes as ISO 8601 in UTC, enums by value)."""
    payload: dict[str, object] = _adapter(event.kind).dump_python(event, mode="json")
    return payload


def from_payload(kind: str, payload: dict[str, object]) -> Event:
    """Rebuilds the event that `to_payload` wrote.

    Raises:
        LedgerError: unknown kind, or a payload that does not fit it.
    """
    if kind not in _KINDS:
        raise LedgerError(f"unknown ledger entry kind {kind!r}: written by a newer Lazaretto?")
    try:
        return _adapter(kind).validate_python(payload)
    except ValidationError as error:
        raise LedgerError(
            f"ledger entry of kind {kind!r} does not fit its type: {error}"
        ) from error


def subject_of(event: Event) -> str:
    """What an event is about: ``source:NAME``, ``batch:ID``, ``case:ID`` or ``dataset:NAME``.

    The ledger keeps it beside each entry, so that everything about one subject is found again.
    """
    for name in ("case", "batch", "source", "dataset", "model", "reference"):
        if name == "case" and not isinstance(event, RecordsDecided):
            continue
        if name == "dataset" and isinstance(event, ModelRegistered):
            continue
        if isinstance(value := getattr(event, name, None), str):
            return f"{name}:{value}"
    raise LedgerError(f"{event.kind} is about nothing that the ledger knows")


def files_of(event: Event) -> list[StoredFile]:
    """Every file of the store that an event names."""
    return list(_files(event))


def _files(value: object) -> Iterator[StoredFile]:
    if isinstance(value, StoredFile):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for part in fields(value):
            yield from _files(getattr(value, part.name))
    elif isinstance(value, list):
        for part in value:
            yield from _files(part)


@cache
def _adapter(kind: str) -> TypeAdapter[Event]:
    return TypeAdapter(_KINDS[kind])
