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
    DataFile,
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
class BatchJudged(Event):
    """The gate closed: quarantine is written, the verdict stands. The commit point of a batch."""

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
class BatchAdmitted(Event):
    """Records of a batch enter the admitted dataset; the table's commit follows this entry.

    Attributes:
        batch: whose records.
        dataset: its name.
        version: Delta version that has them.
        rows: how many.
        part: ``cleared``, or a publication.
        policy: that judged them.
        table_id: of the Delta table.
        schema: sha256 (hex) of the table's columns.
        files: data files with the records, as they were written.
        columns: of the table.
    """

    kind: ClassVar[str] = "batch_admitted"
    batch: str
    dataset: str
    version: int
    rows: int
    part: str
    policy: PolicyRef
    table_id: str
    schema: str
    files: list[DataFile]
    columns: list[Column] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RecordsRecalled(Event):
    """Records leave the admitted dataset again; the table's commit follows this entry.

    Attributes:
        recall: its id.
        dataset: its name.
        version: first Delta version without the records.
        records: how many rows.
        ids_digest: sha256 (hex) of their ids.
        ids: their ids, in the store.
        criteria: in which words they were asked for.
        members: how many of which batch.
        models: ``name@version`` of the model versions that had seen one of them.
        reason: why.
        table_id: of the Delta table.
        schema: sha256 (hex) of the table's columns.
        files: data files that hold what is left of the removed ones.
        removed: paths of the data files that held the records, relative to the store's root.
    """

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
    table_id: str
    schema: str
    files: list[DataFile]
    removed: list[str]


@dataclass(frozen=True, slots=True)
class SnapshotTaken(Event):
    """A training view of one version of the admitted dataset, and the batches really in it.

    Attributes:
        dataset: its name.
        version: Delta version.
        rows: how many.
        digest: sha256 (hex) of the columns and of path, size and sha256 of every data file.
        members: how many rows of which batch.
        table_id: of the Delta table.
        schema: sha256 (hex) of the table's columns.
        files: every data file of the version.
    """

    kind: ClassVar[str] = "snapshot_taken"
    dataset: str
    version: int
    rows: int
    digest: str
    members: list[Member]
    table_id: str
    schema: str
    files: list[DataFile]


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


@dataclass(frozen=True, slots=True)
class DatasetChanged(Event):
    """A stage found that the Delta table of a dataset is not the one that is on record.

    Attributes:
        dataset: its name.
        stage: what was to be done with it.
        problem: what is there instead, in words.
    """

    kind: ClassVar[str] = "dataset_changed"
    dataset: str
    stage: str
    problem: str


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
