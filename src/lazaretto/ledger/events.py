"""What the ledger records: one dataclass per kind of event. Long: the kinds are one union.

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
from lazaretto.redact import error_line
from lazaretto.values import (
    Action,
    BatchEvidence,
    ClassSummary,
    Cleaned,
    Column,
    ColumnRoles,
    CopiesFound,
    DataFile,
    Deploy,
    DetectorSummary,
    DriftSummary,
    DrilledAttack,
    Fingerprints,
    HoldKind,
    IncidentAnswer,
    InputKind,
    LeftOut,
    LostPart,
    Member,
    ModelInput,
    OpenedCase,
    PolicyRef,
    PoolMember,
    PromotionBasis,
    PromotionChange,
    Question,
    RefusedFor,
    Release,
    RuleCount,
    Signature,
    SmallBatchPool,
    SourceEvidence,
    SourceSettings,
    StoredFile,
    TestSummary,
    TriageSummary,
    TrustTier,
    Verdict,
    role_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Event:
    """Base of every event. `kind` names it in the ledger."""

    kind: ClassVar[str]


@dataclass(frozen=True, slots=True)
class SourceRegistered(Event):
    """A source was added or changed its trust tier.

    Attributes:
        source: name of the source.
        trust_tier: how far it is trusted from now on.
    """

    kind: ClassVar[str] = "source_registered"
    source: str
    trust_tier: TrustTier


@dataclass(frozen=True, slots=True)
class SourceRenamed(Event):
    """A source goes by another name from now on; every name that it had still leads to it.

    Attributes:
        source: its first name, by which it is known in all entries.
        name: that it goes by.
        reason: why, in words.
    """

    kind: ClassVar[str] = "source_renamed"
    source: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class KeyAdded(Event):
    """A source's public key was pinned.

    Attributes:
        source: name of the source.
        key_id: DSSE id of the key.
        scheme: signature scheme, such as ``ed25519``.
        public_key: the public key, PEM.
        valid_from: from when on it counts.
        valid_to: until when it counts; null: no end.
    """

    kind: ClassVar[str] = "key_added"
    source: str
    key_id: str
    scheme: str
    public_key: str
    valid_from: datetime
    valid_to: datetime | None


@dataclass(frozen=True, slots=True)
class KeyRevoked(Event):
    """A source's key was revoked, from a moment on.

    Attributes:
        source: name of the source.
        key_id: DSSE id of the key.
        revoked_at: from when on nothing that it signed is accepted.
        reason: why, in words.
        batches: that it had signed and that were received from then on: their signature counts no
            more.
    """

    kind: ClassVar[str] = "key_revoked"
    source: str
    key_id: str
    revoked_at: datetime
    reason: str
    batches: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DeliveryRefused(Event):
    """A delivery was turned away before it became a batch.

    Attributes:
        source: name that the delivery was received under.
        uri: where it was delivered, without credentials.
        code: stable reason, such as ``unknown_key`` or ``replay``.
        reason: why, in words.
        signature: what became of the check of its manifest.
        file_digest: sha256 (hex) of the delivered bytes; null where they were not read.
    """

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
        read: how its text was read, where not in the usual way: the keys of the policy's section
            `read`, each with its value as text or JSON.
        not_of_type: of columns of text that hold what is not of the type that the contract or the
            dataset says, what that is; of the first twenty. They are kept in another type.
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
    read: dict[str, str] = field(default_factory=dict)
    not_of_type: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class BatchValidated(Event):
    """A batch was checked against its contract.

    Attributes:
        batch: id of the batch.
        policy: the policy that judged.
        contract: the contract, as the policy names it; null: built-in rules only.
        rows: number of records.
        failing_rows: records that broke at least one rule.
        rules: the rules that records broke, with counts.
        broken: what is wrong with the batch as a whole, in words; not empty: all of it is held.
        failures: the file with one row per failing record and rule.
        inputs: sha256 (hex) of everything that the result depends on: the same is not done again.
        reads: sha256 (hex) of what of the policy it depends on.
        flagged_rows: records that broke at least one rule that only warns.
        flags: the file with one row per such record and rule; null: there are none.
        cleaned: what cleaning did; null: the policy has no such section.
        named: columns of the batch that the contract names; empty in older entries.
    """

    kind: ClassVar[str] = "batch_validated"
    batch: str
    policy: PolicyRef
    contract: str | None
    rows: int
    failing_rows: int
    rules: list[RuleCount]
    broken: list[str]
    failures: StoredFile
    inputs: str
    reads: str = ""
    flagged_rows: int = 0
    flags: StoredFile | None = None
    cleaned: Cleaned | None = None
    named: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class BatchEmbedded(Event):
    """A batch's records were turned into vectors.

    Attributes:
        batch: id of the batch.
        policy: the policy that judged.
        encoder: name of the encoder.
        encoder_digest: sha256 (hex) of its weights and preprocessing.
        dimensions: width of the vectors.
        rows: number of records.
        vectors: the file with one vector per record.
        inputs: sha256 (hex) of everything that the result depends on: the same is not done again.
        reads: as of `BatchValidated`.
    """

    kind: ClassVar[str] = "batch_embedded"
    batch: str
    policy: PolicyRef
    encoder: str
    encoder_digest: str
    dimensions: int
    rows: int
    vectors: StoredFile
    inputs: str
    reads: str = ""


@dataclass(frozen=True, slots=True)
class BatchScreened(Event):
    """A batch was screened against a reference.

    Attributes:
        batch: id of the batch.
        policy: the policy that judged.
        reference: name of the reference.
        reference_version: its version.
        reference_digest: sha256 (hex) of it.
        verdict: of screening alone; the gate decides.
        rows: records that were screened.
        held: records that screening would hold.
        false_quarantine_rate: the stated rate.
        min_detectable: smallest number of extreme records that could be held; null: not known.
        detectors: what each detector found.
        tests: the batch-level tests.
        scores: the file with one row per screened record.
        inputs: sha256 (hex) of everything that the result depends on: the same is not done again.
        reads: as of `BatchValidated`.
        note: why the batch is held as a whole, or what limits the judgement.
        batch_p_value: of the batch for the source's drift evidence; null: nothing was tested.
        evidence: what later batches of the source need to know of this one.
        source_evidence: what they need to know of this one and all before it; null: its policy does
            not watch sources.
        drift: how far its columns are from the reference's; null: not measured.
        triage: what most likely happened to it; null: not estimated.
        smallest: every batch of at least so many usable records can be judged alone; null: small
            batches are not pooled, no batch is large enough, or no detector decides.
        pool: the other small batches of its source that it was looked at with; null: it is not
            smaller than `smallest`, or that is null.
        settings: as of `BatchJudged`.
        deploy: the code that screened it; null: it was called by hand.
        suspects: the file with its oddest records, for later batches; null: none was kept.
        earlier: the batches before it whose oddest records were looked at together with its own,
            the newest first; the sha256 is of those.
        left_out: the batches that should have been among those, and whose file is lost or changed.
        prints: the fingerprints of its records, for later batches; null: none were kept.
        copies: what it has in common with other batches of its dataset; null: nobody looked.
    """

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
    min_detectable: int | None
    detectors: list[DetectorSummary]
    tests: list[TestSummary]
    scores: StoredFile
    inputs: str
    reads: str = ""
    note: str | None = None
    batch_p_value: float | None = None
    evidence: BatchEvidence | None = None
    source_evidence: SourceEvidence | None = None
    drift: DriftSummary | None = None
    triage: TriageSummary | None = None
    smallest: int | None = None
    pool: SmallBatchPool | None = None
    settings: SourceSettings | None = None
    deploy: Deploy | None = None
    suspects: StoredFile | None = None
    earlier: list[PoolMember] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    prints: Fingerprints | None = None
    copies: CopiesFound | None = None


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
        replaces: ledger entry of an earlier judgement for this dataset that had no effect.
        validated: ledger entry of the validation that was judged.
        embedded: of the vectors; None where none were made.
        screened: of the screening; None where the contract is broken as a whole.
        settings: what the policy asked of this source; None: it asks the same of all, and has no
            quota.
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
    validated: int | None = None
    embedded: int | None = None
    screened: int | None = None
    settings: SourceSettings | None = None


@dataclass(frozen=True, slots=True)
class JudgementSetAside(Event):
    """A person took a judgement back that nobody had acted on: the batch is to be judged again.

    Attributes:
        batch: its id.
        dataset: that it was judged for.
        judged: ledger entry of the judgement.
        case: of that judgement, which ends by this; None where nothing was held.
        reason: why, in a person's words.
    """

    kind: ClassVar[str] = "judgement_set_aside"
    batch: str
    dataset: str
    judged: int
    case: str | None
    reason: str


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
    """A reviewer decided on held records, or undid an earlier decision.

    Attributes:
        decision: id of the decision.
        case: of the review.
        batch: id of the batch.
        action: what was decided.
        records: how many records it is about.
        ids_digest: sha256 (hex) of their sorted ids.
        ids: the file with their ids.
        reason: why, in words.
        filter: the filter that chose them; empty where they were named.
        label: new label, for RELABEL.
        weight: new weight, for REWEIGHT.
        undoes: the decision that this one takes back.
    """

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
class CaseClosed(Event):
    """Every record of a case is decided on, and those that were released are published.

    Attributes:
        case: id of the case.
        batch: id of the batch.
    """

    kind: ClassVar[str] = "case_closed"
    case: str
    batch: str


@dataclass(frozen=True, slots=True)
class PublicationApproved(Event):
    """A second person agrees to what would be published of a case; a newer decision voids it.

    Attributes:
        case: id of the case.
        batch: id of the batch.
        publication: id of the publication that is approved, which is made of the records that it
            would admit and of the decisions in force on them.
        records: how many records that are.
        decided: ledger entry of the newest decision on the case that the approver has seen.
    """

    kind: ClassVar[str] = "publication_approved"
    case: str
    batch: str
    publication: str
    records: int
    decided: int


@dataclass(frozen=True, slots=True)
class CaseAssigned(Event):
    """A case is somebody's to review from here on; this keeps nobody else from deciding.

    Attributes:
        case: id of the case.
        batch: id of the batch.
        assignee: who reviews it, such as ``user:ann``; null: nobody in particular.
    """

    kind: ClassVar[str] = "case_assigned"
    case: str
    batch: str
    assignee: str | None


@dataclass(frozen=True, slots=True)
class CaseCommented(Event):
    """Somebody wrote a remark on a case.

    Attributes:
        case: id of the case.
        batch: id of the batch.
        text: the remark.
    """

    kind: ClassVar[str] = "case_commented"
    case: str
    batch: str
    text: str


@dataclass(frozen=True, slots=True)
class RevocationOverridden(Event):
    """A person let the held records of a case be released although source or key is revoked.

    It counts until something of the source is revoked again.

    Attributes:
        case: id of the case.
        batch: id of the batch.
        codes: what spoke against it: ``revoked_source``, ``revoked_key``.
        reason: why, in words.
    """

    kind: ClassVar[str] = "revocation_overridden"
    case: str
    batch: str
    codes: list[str]
    reason: str


@dataclass(frozen=True, slots=True)
class HeldRecordsRead(Event):
    """Somebody was shown the content of held records. Looking again within minutes adds nothing.

    Attributes:
        case: id of the case.
        batch: id of the batch.
        via: ``page``, ``api`` or ``export``.
        first: position of the first record that was shown.
        last: position of the last one.
        records: how many were shown.
        filter: which records were asked for.
    """

    kind: ClassVar[str] = "held_records_read"
    case: str
    batch: str
    via: str
    first: int
    last: int
    records: int
    filter: dict[str, str] = field(default_factory=dict)


_ABOUT_A_CASE = (
    RecordsDecided.kind,
    CaseClosed.kind,
    PublicationApproved.kind,
    CaseAssigned.kind,
    CaseCommented.kind,
    RevocationOverridden.kind,
    HeldRecordsRead.kind,
)


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
    """Records of a batch enter the admitted dataset; the table's commit follows this entry.

    Several small batches may enter with one version, by the policy's `admit.window`. Then their
    entries follow each other, and the table's commit follows the last of them.

    Attributes:
        batch: whose records.
        dataset: name of the admitted dataset.
        version: version of the dataset that has them.
        rows: records that enter.
        part: ``cleared`` by the gate, or the id of a publication, which is made of the decisions
            that it is of.
        policy: under which they were judged.
        table_id: id of the Delta table.
        schema: sha256 (hex) of the table's columns.
        files: data files with the records, as they were written.
        columns: names and types in the dataset.
        case: whose publication; None for what the gate had cleared.
        releases: the decisions by which these records are released, with who decided; empty for
            what the gate had cleared.
        approved_by: who approved the publication beside the publisher.
        published_by: who published, as the entry's actor; None for what the gate had cleared.
        classes: records by their label, in text; null: there is none, or there are too many.
        place: of the batch among those that enter with this version, from 1.
        together: how many enter with it.
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
    case: str | None = None
    releases: list[Release] = field(default_factory=list)
    approved_by: list[str] = field(default_factory=list)
    published_by: str | None = None
    classes: dict[str, int] | None = None
    place: int = 1
    together: int = 1


@dataclass(frozen=True, slots=True)
class DatasetGrown(Event):
    """A dataset gets columns, or wider types of columns; the table's commit follows this entry.

    No record comes or goes: older ones have null in a new column, and the same values in a wider
    type.

    Attributes:
        dataset: its name.
        version: first version with these columns.
        needed_by: the batch whose records need them.
        policy: under which that batch was judged.
        table_id: id of the Delta table.
        schema: sha256 (hex) of the table's columns.
        columns: the table's columns in Delta's notation, as JSON: of which `schema` is.
        added: new columns, with their types.
        widened: columns with another type than before, with the new one.
        files: data files that replace the removed ones; none where columns were only added.
        removed: paths of the data files that were written anew, relative to the store's root.
    """

    kind: ClassVar[str] = "dataset_grown"
    dataset: str
    version: int
    needed_by: str
    policy: PolicyRef
    table_id: str
    schema: str
    columns: str
    added: list[Column] = field(default_factory=list)
    widened: list[Column] = field(default_factory=list)
    files: list[DataFile] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DatasetCompacted(Event):
    """Small data files of a dataset are put together; the table's commit follows this entry.

    No record comes, goes or changes. The files before stay in the store for the versions before.

    Attributes:
        dataset: its name.
        version: first version with the new files.
        rows: records in them.
        table_id: id of the Delta table.
        schema: sha256 (hex) of the table's columns.
        files: stretches of the data files that replace the removed ones.
        removed: paths of the data files that were put together, relative to the store's root.
    """

    kind: ClassVar[str] = "dataset_compacted"
    dataset: str
    version: int
    rows: int
    table_id: str
    schema: str
    files: list[DataFile]
    removed: list[str]


@dataclass(frozen=True, slots=True)
class RecordsRecalled(Event):
    """Records leave the admitted dataset again; the table's commit follows this entry.

    Attributes:
        recall: id of the recall.
        dataset: name of the admitted dataset.
        version: first version of the dataset without them.
        records: how many leave.
        ids_digest: sha256 (hex) of their sorted ids.
        ids: the file with their ids.
        criteria: what was asked for, such as a batch or a source and a window.
        members: batches that lose records, with how many.
        models: model versions that had learned from them, each as NAME@VERSION.
        reason: why, in words.
        table_id: id of the Delta table.
        schema: sha256 (hex) of the table's columns.
        files: data files with what is left of the removed ones.
        removed: paths of the data files that held the records, relative to the store's root.
        registries: namespace of the registry of each of `models`; empty in older entries, which
            mean the registry that was the first to have a model of that name and version.
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
    registries: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class VersionAnnounced(Event):
    """Those who train on a dataset were told of a version; it is not told again.

    Attributes:
        dataset: its name.
        version: Delta version.
        made: ledger entry that made it: after a table was set back, a number may come again.
    """

    kind: ClassVar[str] = "version_announced"
    dataset: str
    version: int
    made: int


@dataclass(frozen=True, slots=True)
class HoldAnnounced(Event):
    """Whoever reviews was told that records of a batch are held; they are not told again.

    Attributes:
        batch: id of the batch.
        made: ledger entry of the judgement that holds them.
    """

    kind: ClassVar[str] = "hold_announced"
    batch: str
    made: int


@dataclass(frozen=True, slots=True)
class SnapshotTaken(Event):
    """A training view of one version of the admitted dataset, and the batches really in it.

    An entry says what is different from an earlier snapshot, so that the ledger grows by what a
    dataset gains and not by what it holds. Now and then one says all of it again.

    Attributes:
        dataset: name of the admitted dataset.
        version: of the dataset.
        rows: records in it.
        digest: sha256 (hex) of its columns and of path, size and sha256 of every data file.
        members: batches whose data files are others than in `since`, with how many records they
            have now, 0 where they left; without `since`, every batch in it.
        table_id: id of the Delta table.
        schema: sha256 (hex) of the table's columns.
        files: data files that `since` does not have; without `since`, all.
        batches: how many batches are in it.
        since: version of the earlier snapshot that it differs from by this; null: this is all.
        removed: paths of data files of `since` that it no longer has.
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
    batches: int
    since: int | None = None
    removed: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ViewTaken(Event):
    """A training view of a snapshot without some of its batches, such as a retraining leaves out.

    Each batch has data files of its own, or stretches of one. The view has those of the snapshot,
    without those of the batches that are left out.

    Attributes:
        dataset: name of the admitted dataset.
        view: id of the view, such as ``12-5e1c0a9b2f3d4e5f``; the first part is the version.
        version: of the dataset, of which a snapshot was taken.
        rows: records in the view.
        digest: sha256 (hex) of its columns and of path, size and sha256 of every data file.
        batches: how many batches are in it.
        excluded: batches of the snapshot that are not in it, in alphabetical order.
    """

    kind: ClassVar[str] = "view_taken"
    dataset: str
    view: str
    version: int
    rows: int
    digest: str
    batches: int
    excluded: list[str]


@dataclass(frozen=True, slots=True)
class TrainingSanitized(Event):
    """A training set was examined by the activations of a model trained on it.

    Attributes:
        dataset: name of the admitted dataset.
        version: of the dataset.
        model: whose activations were read.
        policy: the policy that judged.
        methods: methods that scored.
        layers: layers that were read.
        calibrated: whether there were trusted rows to calibrate by.
        false_quarantine_rate: the stated rate.
        rows: records that were scored.
        held: records that stand out.
        classes: outcome of each class.
        scores: the file with score and reasons of every record.
        calibration: what the rate rests on, in words.
        cases: review cases that were opened.
        columns: which column plays which part.
        two_people: whether deciding and publishing takes two people.
    """

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
    """A model version and what it learned from; a further entry of the same one adds to that.

    Attributes:
        model: name of the model.
        version: its version.
        registry: namespace of the model registry.
        dataset: admitted dataset of the first snapshot that it learned from; null: it learned from
            none.
        snapshot: version of that dataset.
        rows: records that it learned from there.
        purpose: such as ``TRAINING``.
        artifact_uri: where the weights are, without credentials.
        artifact_digest: sha256 (hex) of the weights.
        external_run_id: of the run in an experiment tracker.
        params: parameters of the training.
        seed: random seed of the training.
        recalls: recalls of records that it learned from, which came before it was registered.
        inputs: what else it learned from: more snapshots, tables of others, other models.
        ignored_weights: snapshots, each as ``DATASET@VERSION``, whose records reviewers gave
            weights that the training did not read.
    """

    kind: ClassVar[str] = "model_registered"
    model: str
    version: str
    registry: str
    dataset: str | None
    snapshot: int | None
    rows: int
    purpose: str
    artifact_uri: str | None = None
    artifact_digest: str | None = None
    external_run_id: str | None = None
    params: dict[str, str] = field(default_factory=dict)
    seed: int | None = None
    recalls: list[str] = field(default_factory=list)
    inputs: list[ModelInput] = field(default_factory=list)
    ignored_weights: list[str] = field(default_factory=list)

    @property
    def learned_from(self) -> list[ModelInput]:
        """All that this entry names, the first snapshot among it, in the role of the purpose."""
        if self.dataset is None or self.snapshot is None:
            return list(self.inputs)
        version, role = str(self.snapshot), role_of(self.purpose)
        first = ModelInput(InputKind.SNAPSHOT, "", self.dataset, version, role, self.rows)
        return [first, *self.inputs]


@dataclass(frozen=True, slots=True)
class ModelAliased(Event):
    """A name such as ``production`` stands for a version of a model from here on.

    Attributes:
        model: name of the model.
        alias: the name that stands for a version.
        version: that it stands for; null: for none any more.
        registry: namespace of the model registry.
        reason: why, in words.
        promoted: what its promotion rests on; null: it was set without one.
    """

    kind: ClassVar[str] = "model_aliased"
    model: str
    alias: str
    version: str | None
    registry: str
    reason: str
    promoted: PromotionBasis | None = None


@dataclass(frozen=True, slots=True)
class PromotionRefused(Event):
    """Somebody wanted to put a model version in use, and may not.

    Attributes:
        model: name of the model.
        version: that was to be promoted.
        registry: namespace of the model registry.
        alias: that was to stand for it.
        reasons: all that speaks against it.
    """

    kind: ClassVar[str] = "promotion_refused"
    model: str
    version: str
    registry: str
    alias: str
    reasons: list[RefusedFor]


@dataclass(frozen=True, slots=True)
class ModelEvaluated(Event):
    """A model version was measured on a test set.

    Attributes:
        model: name of the model.
        version: its version.
        registry: namespace of the model registry.
        how: what answered: ``onnx``, ``torch``, ``function`` or ``predictions``.
        code: the user's function that loaded or ran it; null: there is none.
        artifact_digest: sha256 (hex) of the weights that were run; null: they are not known.
        test_set: sha256 (hex) of the test file.
        rows: of the test set.
        figures: what was measured, by name; what was not measured is left out.
        report: the file with all of it.
        predictions: the file with the answers, in the order of the rows.
        envelope: the signed statement about the report; null: no key signed it.
        compared_with: version that it was compared with; null: none was promoted before.
    """

    kind: ClassVar[str] = "model_evaluated"
    model: str
    version: str
    registry: str
    how: str
    code: str | None
    artifact_digest: str | None
    test_set: str
    rows: int
    figures: dict[str, float]
    report: StoredFile
    predictions: StoredFile
    envelope: StoredFile | None = None
    compared_with: str | None = None


@dataclass(frozen=True, slots=True)
class DrillRun(Event):
    """Known attacks were tried on a copy of a batch; nothing of that is anywhere but here.

    Attributes:
        dataset: whose gate was tried.
        of_batch: batch that was copied; of several, the newest.
        policy: that judged.
        seed: of the attacks.
        caught_at: share of the poison that must be held for an attack to count as caught.
        attacks: what came of each.
        clean_held: records of the copies that are held without any attack.
        rows: of all copies.
        report: the file with all of it.
        also: older batches of the same source that were copied as well.
    """

    kind: ClassVar[str] = "drill_run"
    dataset: str
    of_batch: str
    policy: PolicyRef
    seed: int
    caught_at: float
    attacks: list[DrilledAttack]
    clean_held: int
    rows: int
    report: StoredFile
    also: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ReferenceSaved(Event):
    """A version of a reference was fitted by somebody, and frozen in the store.

    Attributes:
        reference: name of the reference.
        version: its version.
        digest: sha256 (hex) of it.
        files: its files in the store.
        rows: trusted rows.
        encoder: name of the encoder.
        encoder_digest: sha256 (hex) of its weights and preprocessing.
        profile: the file that drift is measured by; null: there is none.
        golden: the file of rows that are encoded again to check the encoder.
        trusted: the file with the ids of the trusted rows, and what reviewers are shown of them.
    """

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
    trusted: StoredFile | None = None


@dataclass(frozen=True, slots=True)
class ReferencePromoted(Event):
    """A person made a version the one that batches are judged against; `previous` was it before.

    Attributes:
        reference: name of the reference.
        version: now in use.
        digest: sha256 (hex) of it.
        previous: version that was in use before.
        previous_digest: sha256 (hex) of that one.
        change: what it changes on past batches; null: nothing was compared.
    """

    kind: ClassVar[str] = "reference_promoted"
    reference: str
    version: str
    digest: str
    previous: str | None
    previous_digest: str | None
    change: PromotionChange | None


@dataclass(frozen=True, slots=True)
class IncidentTraced(Event):
    """Somebody followed a source's window to the models; the answer is kept.

    Attributes:
        source: name of the source.
        since: start of the window; null: from the beginning.
        until: end of the window; null: until now.
        batches: batches in question.
        models: model versions that learned from them.
        complete: whether the answer is whole, as far as the records say.
        report: the report's files.
    """

    kind: ClassVar[str] = "incident_traced"
    source: str
    since: datetime | None
    until: datetime | None
    batches: list[str]
    models: list[str]
    complete: bool
    report: list[StoredFile] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class IncidentOpened(Event):
    """Somebody opened an incident: a question that stays open until a person concludes it.

    Attributes:
        incident: its id.
        title: one line for people.
        question: what is asked.
        reason: why it was opened, in words.
        answer: what the records said then.
    """

    kind: ClassVar[str] = "incident_opened"
    incident: str
    title: str
    question: Question
    reason: str
    answer: IncidentAnswer


@dataclass(frozen=True, slots=True)
class IncidentAssigned(Event):
    """An incident is somebody's to handle from here on; this keeps nobody else from acting.

    Attributes:
        incident: its id.
        assignee: who handles it, such as ``user:ann``; null: nobody in particular.
    """

    kind: ClassVar[str] = "incident_assigned"
    incident: str
    assignee: str | None


@dataclass(frozen=True, slots=True)
class IncidentNoted(Event):
    """Somebody wrote a note on an incident.

    Attributes:
        incident: its id.
        text: the note.
    """

    kind: ClassVar[str] = "incident_noted"
    incident: str
    text: str


@dataclass(frozen=True, slots=True)
class HoldPlaced(Event):
    """Somebody stops something for an incident, until it is lifted.

    Attributes:
        incident: its id.
        what: see `HoldKind`.
        name: of the source, dataset or model that is on hold.
        reason: why, in words.
    """

    kind: ClassVar[str] = "hold_placed"
    incident: str
    what: HoldKind
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class HoldLifted(Event):
    """Somebody ended a hold of an incident. What it held stays held until a person decides.

    Attributes:
        incident: its id.
        what: see `HoldKind`.
        name: of the source, dataset or model that was on hold.
        reason: why, in words.
    """

    kind: ClassVar[str] = "hold_lifted"
    incident: str
    what: HoldKind
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class IncidentAnswered(Event):
    """The question of an incident was asked again, and the records said something else.

    Attributes:
        incident: its id.
        answer: what they said.
    """

    kind: ClassVar[str] = "incident_answered"
    incident: str
    answer: IncidentAnswer


@dataclass(frozen=True, slots=True)
class IncidentAnnounced(Event):
    """People were told of an answer to the question of an incident; they are not told again.

    Attributes:
        incident: its id.
        made: ledger entry of the answer: of the opening, or of asking again.
    """

    kind: ClassVar[str] = "incident_announced"
    incident: str
    made: int


@dataclass(frozen=True, slots=True)
class IncidentAction(Event):
    """Somebody says that a ledger entry is something that was done about an incident.

    Attributes:
        incident: its id.
        seq: number of that entry.
        entry: its hash (hex).
        note: what it was for, in words; empty: nothing was said.
    """

    kind: ClassVar[str] = "incident_action"
    incident: str
    seq: int
    entry: str
    note: str


@dataclass(frozen=True, slots=True)
class IncidentClosed(Event):
    """A person concluded an incident. Its holds were lifted before.

    Attributes:
        incident: its id.
        conclusion: in words.
    """

    kind: ClassVar[str] = "incident_closed"
    incident: str
    conclusion: str


@dataclass(frozen=True, slots=True)
class DatasetExported(Event):
    """A version of the admitted dataset was written to a file, which others may learn from.

    Attributes:
        dataset: its name.
        version: of it.
        uri: of the file, without credentials.
        rows: records in it.
        digest: sha256 (hex) of the file.
    """

    kind: ClassVar[str] = "dataset_exported"
    dataset: str
    version: int
    uri: str
    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class LineageAliased(Event):
    """Somebody said that two names are of the same dataset, or took that back.

    Attributes:
        namespace: OpenLineage namespace of one.
        name: its name.
        same_namespace: namespace of the other.
        same_name: its name.
        withdrawn: they are not the same, after all.
        reason: why, in words.
    """

    kind: ClassVar[str] = "lineage_aliased"
    namespace: str
    name: str
    same_namespace: str
    same_name: str
    withdrawn: bool
    reason: str


@dataclass(frozen=True, slots=True)
class ExternalDeclared(Event):
    """Somebody vouches that a dataset or model comes from outside, and holds nothing of ours.

    Attributes:
        namespace: OpenLineage namespace.
        name: its name.
        version: of it; null: every version that nobody told the origin of.
        withdrawn: nobody vouches for it any more.
        reason: why, in words.
    """

    kind: ClassVar[str] = "external_declared"
    namespace: str
    name: str
    version: str | None
    withdrawn: bool
    reason: str


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
class PayloadDeleted(Event):
    """Retention deletes records of a batch that no policy in force keeps; the files go after this.

    Attributes:
        batch: its id.
        what: ``delivered``: the delivered bytes, the canonical copy and the vectors. ``held``: the
            rows of a case.
        case: the case of held rows; null for what was delivered.
        policies: in force for the datasets that the batch was judged for.
        days: so long they keep it, the longest of them.
        since: from when on that counts: the receipt, or the end of the case.
        files: paths of what is deleted, relative to the store's root.
    """

    kind: ClassVar[str] = "payload_deleted"
    batch: str
    what: str
    case: str | None
    policies: list[PolicyRef]
    days: int
    since: datetime
    files: list[str]


@dataclass(frozen=True, slots=True)
class DatasetPruned(Event):
    """Retention deletes data files that only versions without a snapshot have; they go after this.

    Attributes:
        dataset: its name.
        version: its newest version, which has none of them.
        policy: in force for the dataset.
        days: so long it keeps a data file that the newest version has no longer.
        files: paths of what is deleted, relative to the store's root.
    """

    kind: ClassVar[str] = "dataset_pruned"
    dataset: str
    version: int
    policy: PolicyRef
    days: int
    files: list[str]


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


@dataclass(frozen=True, slots=True)
class DatasetSetBack(Event):
    """What a dataset's table had, and the ledger had not, is taken out of its log.

    Attributes:
        dataset: its name.
        version: newest version that stays; -1: none does, and the log is made anew.
        found: newest version that the table had.
        problem: what was there, in words.
        set_aside: files of the log, kept in the store as evidence.
    """

    kind: ClassVar[str] = "dataset_set_back"
    dataset: str
    version: int
    found: int
    problem: str
    set_aside: list[StoredFile]


@dataclass(frozen=True, slots=True)
class RowsLost(Event):
    """Data files of a dataset are gone, and somebody gave them up; the table's commit follows.

    From here on these records are not admitted, and the same batch may be admitted again.

    Attributes:
        dataset: its name.
        version: first version of the dataset without them.
        parts: what is lost.
        table_id: id of the Delta table.
        schema: sha256 (hex) of the table's columns.
        removed: paths of the data files, relative to the store's root; what is left of a part is
            given up with it.
    """

    kind: ClassVar[str] = "rows_lost"
    dataset: str
    version: int
    parts: list[LostPart]
    table_id: str
    schema: str
    removed: list[str]


@dataclass(frozen=True, slots=True)
class CheckpointTaken(Event):
    """Somebody signed the ledger as it was; from then on the signed checkpoint has to be there.

    Attributes:
        origin: name of the ledger, as the checkpoint gives it.
        size: how many entries it covers.
        root: of the Merkle tree over them, hex.
        frontier: roots of that tree's perfect subtrees, hex, the largest first: what it takes to
            go on from there without reading those entries again.
        verifier_key: what checks its signature, as ``name+id+key``.
        note: the checkpoint in the store.
    """

    kind: ClassVar[str] = "checkpoint_taken"
    origin: str
    size: int
    root: str
    frontier: list[str]
    verifier_key: str
    note: StoredFile


@dataclass(frozen=True, slots=True)
class CatalogRebuilt(Event):
    """Rows of the catalog that did not say what the ledger says were made anew.

    Attributes:
        rows: by table, how many were ``changed``, ``missing`` and ``added``.
    """

    kind: ClassVar[str] = "catalog_rebuilt"
    rows: dict[str, dict[str, int]]


_KINDS: dict[str, type[Event]] = {cls.kind: cls for cls in Event.__subclasses__()}


def kinds() -> list[str]:
    """Every kind of event, in alphabetical order."""
    return sorted(_KINDS)


def to_payload(event: Event) -> dict[str, object]:
    """Turns an event into JSON values (datetimes as ISO 8601 in UTC, enums by value)."""
    payload: dict[str, object] = _adapter(event.kind).dump_python(event, mode="json")
    return payload


def from_payload(kind: str, payload: str) -> Event:
    """Rebuilds the event that `to_payload` wrote, from the JSON text of its values.

    Raises:
        LedgerError: unknown kind, or a payload that does not fit it.
    """
    if kind not in _KINDS:
        raise LedgerError(f"unknown ledger entry kind {kind!r}: written by a newer Lazaretto?")
    try:
        return _adapter(kind).validate_json(payload)
    except ValidationError as error:
        raise LedgerError(
            f"ledger entry of kind {kind!r} does not fit its type: {error_line(error)}"
        ) from error


def subject_of(event: Event) -> str:
    """What an event is about: such as ``source:NAME``, ``batch:ID`` or ``case:ID``.

    The ledger keeps it beside each entry, so that everything about one subject is found again.
    """
    if isinstance(event, CheckpointTaken):
        return subject_of_checkpoints(event.verifier_key)
    if isinstance(event, CatalogRebuilt):
        return "catalog:rows"
    if isinstance(event, LineageAliased | ExternalDeclared):
        return f"lineage:{event.namespace}/{event.name}"
    if isinstance(event, HoldPlaced | HoldLifted):
        return subject_of_holds(event.what, event.name)
    name = subject_field(event.kind)
    if name is None:
        raise LedgerError(f"{event.kind} is about nothing that the ledger knows")
    return f"{name}:{getattr(event, name)}"


@cache
def subject_field(kind: str) -> str | None:
    """The field of a kind of event that says what it is about."""
    texts = {field.name for field in fields(_KINDS[kind]) if field.type == "str"}
    if kind not in _ABOUT_A_CASE:
        texts.discard("case")
    names = ("incident", "case", "batch", "source", "dataset", "model", "reference")
    return next((name for name in names if name in texts), None)


def subject_of_checkpoints(verifier_key: str) -> str:
    """Subject of the checkpoints that one key signed."""
    return f"verifier:{verifier_key}"


def subject_of_holds(what: HoldKind, name: str) -> str:
    """Subject of the holds on one source, dataset or model, whatever the incident."""
    return f"hold:{what.value}:{name}"


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
