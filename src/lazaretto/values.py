"""Values that every room speaks of, from verdicts to summaries. Long: each is small."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003  pydantic reads these types at run time
from enum import StrEnum
from typing import Any, ClassVar, Literal

from lazaretto.window import EITHER


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
    """Who acted, by who says so.

    ``HUMAN``: a person that Airflow's auth manager authenticated. ``OS_USER``: whoever the
    operating system says runs the command. ``SERVICE``: a task. ``POLICY``: the policy by itself.
    """

    POLICY = "POLICY"
    HUMAN = "HUMAN"
    OS_USER = "OS_USER"
    SERVICE = "SERVICE"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did something, as stored for audit.

    Attributes:
        type: who says so; see `ActorType`.
        id: ``user:jdoe``, ``os:alice@host``, ``policy:reviews``, ``airflow:<dag>.<task>``.
    """

    type: ActorType
    id: str

    @property
    def authenticated(self) -> bool:
        """Whether something beside the operating system vouches for this person."""
        return self.type is ActorType.HUMAN


@dataclass(frozen=True, slots=True)
class Remark:
    """What a person wrote about a case or an incident, as it is on record.

    Attributes:
        text: as written; whoever shows it escapes it.
        by: who wrote it.
        at: when, UTC.
        seq: ledger entry.
    """

    text: str
    by: Actor
    at: datetime
    seq: int


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the store by what it holds: whoever reads it, checks it.

    Attributes:
        path: relative to the store's root.
        size: bytes.
        sha256: of all bytes, hex.
        blocks: sha256 (hex) of the list of block digests beside it (``<path>.blocks``), by which a
            large file is checked while it is read; empty for a small file.
    """

    path: str
    size: int
    sha256: str
    blocks: str = ""


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file of an admitted dataset, or a stretch of one: rows of a batch admitted at once.

    Small files are put together into one, in which each batch keeps a stretch of its own. All that
    such a file holds comes and leaves with it, so that a version has all of its stretches, or none.

    Attributes:
        batch: whose rows.
        part: ``cleared``, or the publication that admitted them.
        rows: how many.
        file: the Parquet file.
        start: number of the first of these rows in the file, where it holds those of others, too;
            null: they are all that it holds.
    """

    batch: str
    part: str
    rows: int
    file: StoredFile
    start: int | None = None

    @property
    def key(self) -> str:
        """What tells it from others of the same version: its path, and where it starts there."""
        return self.file.path if self.start is None else f"{self.file.path}#{self.start}"


@dataclass(frozen=True, slots=True)
class Signature:
    """Result of checking a manifest.

    Attributes:
        status: see `SignatureStatus`.
        key_id: DSSE key id, when there was a signature.
        scheme: signature scheme, such as ``ed25519``.
        envelope: the DSSE envelope, kept in the store.
    """

    status: SignatureStatus
    key_id: str | None = None
    scheme: str | None = None
    envelope: StoredFile | None = None


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """What a policy asks of one source's deliveries, by its name and its trust tier.

    Attributes:
        tier: how far it was trusted.
        require_signature: whether a delivery needs a valid signature.
        false_quarantine_rate: largest share of clean records that may be held, on average.
        hold: ``evidence`` or ``rate``.
        review_share: share of the records that pass which are drawn for people.
        max_share: largest share of the admitted window that may be its own.
        max_class_share: the same within each class.
        window_days: days of that window.
        free_records: records that it may have in it whatever the share.
    """

    tier: TrustTier
    require_signature: bool
    false_quarantine_rate: float
    hold: Literal["evidence", "rate"]
    review_share: float
    max_share: float
    max_class_share: float
    window_days: int
    free_records: int


@dataclass(frozen=True, slots=True)
class PolicyRef:
    """Which policy judged.

    Attributes:
        dataset: that it is for.
        sha256: of its file's bytes, hex.
        meaning: sha256 (hex) of what it and its contract say, whatever its comments and layout.
        path: of the file, as given.
    """

    dataset: str
    sha256: str
    meaning: str
    path: str | None = None


@dataclass(frozen=True, slots=True)
class ColumnRoles:
    """Which column of a batch plays which part, as the judging policy said.

    Attributes:
        record_id: unique id; None: content hash and position.
        label: of a record.
        payload: what a reviewer is shown.
    """

    record_id: str | None = None
    label: str | None = None
    payload: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class OpenedCase:
    """A review case that sanitizing opened, and the file with its held records.

    Attributes:
        case: id of the case.
        batch: id of the batch.
        rows: records of the batch.
        held: records that it holds.
        held_records: the file with them.
        reasons: held records by the signature of their first reason.
    """

    case: str
    batch: str
    rows: int
    held: int
    held_records: StoredFile
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BatchRef:
    """What travels between tasks: identity and whereabouts of a received batch, never data.

    Attributes:
        id: ``{source}/{32 hex of the content digest}``.
        source: source name.
        digest: sha256 (hex) of the canonical content.
        rows: number of records.
        received_at: UTC time of receipt.
        seq: ledger entry of the receipt; 0 where that is not known.
    """

    id: str
    source: str
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
    """One column of a batch: its name and Arrow type, as text.

    Attributes:
        name: of the column.
        type: its Arrow type, as text.
    """

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class RuleCount:
    """How many records broke one rule of the contract.

    Attributes:
        rule: its name.
        column: the column that it is about; None for several.
        failed: records that broke it.
        text: what it asks for.
        warning: whether it only warns, so that no record is held for it.
    """

    rule: str
    column: str | None
    failed: int
    text: str
    warning: bool = False

    @property
    def words(self) -> str:
        """What it asks for, and how many records broke it."""
        records = "1 record" if self.failed == 1 else f"{self.failed} records"
        return f"{self.text} ({records}{', only a warning' if self.warning else ''})"


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What cleaning did to a batch.

    Attributes:
        flagged: records that go on although a rule found something in them.
        fixed: records that go on with a mended value.
        dropped: records that neither go on nor wait for a person.
        findings: the file with every finding: record, rule, column, action, text, value.
        fixes: the file with every mended value, and what was delivered in its place.
        dropped_records: the file with the dropped records, by id and position.
        compared: version of the dataset whose records it was compared with; None: with none.
        lengths: by column, how many of its texts have each size class.
        notes: what could not be judged, in words.
    """

    flagged: int
    fixed: int
    dropped: int
    findings: StoredFile
    fixes: StoredFile | None = None
    dropped_records: StoredFile | None = None
    compared: int | None = None
    lengths: dict[str, dict[str, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def files(self) -> list[StoredFile]:
        """All of its files."""
        every = (self.findings, self.fixes, self.dropped_records)
        return [file for file in every if file is not None]


REPORTED_ONLY = "Shadow mode: reported only."
"""Behind the detail of a test that may not hold a batch."""


@dataclass(frozen=True, slots=True)
class TestSummary:
    """One batch-level test: it fires when ``p_value <= alpha``.

    Attributes:
        name: of the test.
        p_value: adjusted for the number of tests; None: it could not run.
        alpha: its level.
        fired: whether ``p_value <= alpha``.
        detail: what it saw, in words.
    """

    __test__: ClassVar[bool] = False

    name: str
    p_value: float | None
    alpha: float
    fired: bool
    detail: str


@dataclass(frozen=True, slots=True)
class DetectorSummary:
    """One detector of a screening: its mode and how many records it alone would have held.

    Attributes:
        name: of the detector.
        mode: ``enforce``, ``shadow`` or ``off``.
        would_hold: records that it would hold by itself.
    """

    name: str
    mode: str
    would_hold: int


class InputKind(StrEnum):
    """What a training read."""

    SNAPSHOT = "SNAPSHOT"
    TABLE = "TABLE"
    MODEL = "MODEL"


class InputRole(StrEnum):
    """How a training used what it read; only `weighs` roles reach the weights."""

    TRAIN = "TRAIN"
    FINETUNE = "FINETUNE"
    PRETRAIN = "PRETRAIN"
    CALIBRATION = "CALIBRATION"
    VALIDATION = "VALIDATION"
    TEST = "TEST"
    EVAL = "EVAL"

    @property
    def weighs(self) -> bool:
        """Whether what is used in this role can change the weights.

        Validation counts: what stops a training early or chooses its best version does.
        """
        return self not in (InputRole.TEST, InputRole.EVAL)


def role_of(purpose: str) -> InputRole:
    """The role of what a training read by its purpose, free text such as ``FINE_TUNING``.

    In doubt it is TRAIN, which reaches the weights.
    """
    text = "".join(letter for letter in purpose.upper() if letter.isalpha())
    starts = {
        "PRETRAIN": InputRole.PRETRAIN,
        "FINETUN": InputRole.FINETUNE,
        "EVAL": InputRole.EVAL,
        "TEST": InputRole.EVAL,
    }
    return next((role for start, role in starts.items() if text.startswith(start)), InputRole.TRAIN)


@dataclass(frozen=True, slots=True)
class ModelInput:
    """Something that a model version learned from.

    Attributes:
        kind: an admitted snapshot, a table of somebody else's, or another model version.
        namespace: OpenLineage namespace of a table, registry of a model; empty for a snapshot.
        name: of the dataset, table or model.
        version: of it; null: a table whose version is not known.
        role: how it was used. A model in the role ``FINETUNE`` gave its weights to begin with, in
            any other its predictions.
        rows: records read; null: not known.
    """

    kind: InputKind
    namespace: str
    name: str
    version: str | None
    role: InputRole = InputRole.TRAIN
    rows: int | None = None

    @property
    def key(self) -> str:
        """sha256 (hex) of what makes it the same input: all but how many records were read."""
        same = [self.kind.value, self.namespace, self.name, self.version, self.role.value]
        return hashlib.sha256(json.dumps(same).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class SnapshotRead:
    """What a training read of a snapshot, as its reader says.

    Attributes:
        dataset: name of the admitted dataset.
        snapshot: its version, or the id of a view, as `Snapshot.id` has it.
        columns: names of the columns that were read.
    """

    dataset: str
    snapshot: str
    columns: tuple[str, ...]

    @property
    def as_input(self) -> ModelInput:
        """What a model that was trained on it learned from."""
        return ModelInput(InputKind.SNAPSHOT, "", self.dataset, self.snapshot)


@dataclass(frozen=True, slots=True)
class LostPart:
    """Records of a dataset that are gone from the store.

    Attributes:
        batch: whose records.
        part: ``cleared``, or the publication that had admitted them.
        rows: how many the dataset had of them.
    """

    batch: str
    part: str
    rows: int


@dataclass(frozen=True, slots=True)
class Member:
    """How many records of one batch a snapshot or a recall contains.

    Attributes:
        batch: id of the batch.
        rows: how many of its records.
    """

    batch: str
    rows: int


@dataclass(frozen=True, slots=True)
class ClassSummary:
    """Class-level outcome of sanitizing.

    Attributes:
        label: of the class.
        n: records in it.
        statistic: mean score over that of trusted rows; 1 is what a clean class has.
        p_value: of the class test; None: the class was not judged by trusted rows.
        fired: whether the class is a finding.
        n_held: records that are held.
    """

    label: str
    n: int
    statistic: float
    p_value: float | None
    fired: bool
    n_held: int


@dataclass(frozen=True, slots=True)
class OddRecords:
    """Records of a class, and the odd ones among them.

    Attributes:
        name: of the class; empty where all records are counted as one.
        scored: records that have a p-value.
        small: of those, how many are up to each of the levels of `lazaretto.stats.slow`.
    """

    name: str
    scored: int
    small: list[int]


@dataclass(frozen=True, slots=True)
class SlowEvidence:
    """What the odd records of a source's batches tell, class by class.

    Attributes:
        batches: how many were counted.
        looks: how many looks were taken at them.
        totals: records of all batches, by class.
        p_value: the smallest at the last look, adjusted.
        name: the class where that was.
        level: what counted as odd there.
        count: odd records there.
        expected: their mean number in a clean source.
    """

    batches: int
    looks: int
    totals: list[OddRecords]
    p_value: float
    name: str
    level: float
    count: int
    expected: float


@dataclass(frozen=True, slots=True)
class BatchEvidence:
    """What a batch tells of its source: its tests, and its records with a small p-value.

    Attributes:
        tests: smallest p-value of its enforced tests; None: no test ran.
        small: records with a small p-value.
        scored: records that have one.
        odd: its odd records, by class.
        known: those of the calibration.
        local: smallest p-value of the tests that look at parts of it; None: none did.
        together: p-value of neighbourhoods over it and batches before it; None: not looked at.
    """

    tests: float | None
    small: int
    scored: int
    odd: list[OddRecords] = field(default_factory=list)
    known: list[OddRecords] = field(default_factory=list)
    local: float | None = None
    together: float | None = None


@dataclass(frozen=True, slots=True)
class PoolMember:
    """Another batch that a batch was looked at with.

    Attributes:
        batch: its id.
        seq: ledger entry of its screening.
        scores: sha256 (hex) of what was read of what that found.
    """

    batch: str
    seq: int
    scores: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An earlier batch that a batch could not be looked at together with.

    Attributes:
        batch: its id.
        seq: ledger entry of its screening.
        suspects: sha256 (hex) of the file that is needed of it, as it is on record: of its oddest
            records, or of its fingerprints.
        problem: why that could not be used, in words.
    """

    batch: str
    seq: int
    suspects: str
    problem: str


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """The fingerprints of a batch's records, for later batches of its dataset.

    Attributes:
        file: with one row per screened record.
        content: sha256 (hex) of the names of the columns that contents are hashed of: those of
            other columns are not compared.
        encoder: sha256 (hex) of the encoder: sketches of another one's vectors are not compared.
    """

    file: StoredFile
    content: str
    encoder: str


@dataclass(frozen=True, slots=True)
class CopyGroup:
    """Copies of one record that stand in several batches.

    Attributes:
        records: the first ids of those in this batch.
        here: how many those are in all.
        copies: records that are copies of each other, over all batches that were looked at.
        batches: in how many batches they stand, this one included.
        sources: the names of their sources, the first ones in order.
        labels: how many different labels the copies in this batch and the known ones carry: 1, or 2
            for more than one.
        trusted: trusted records that are copies, too, and carry another label.
        near: whether these are near copies; else they have equal contents.
        p_value: chance that all of so many copies are of batches and none is trusted, if batches
            are drawn like the reference, adjusted for the number of groups.
        elsewhere: copies in other batches as ``batch#record``, the first ones of the newest.
    """

    records: list[str]
    here: int
    copies: int
    batches: int
    sources: list[str]
    labels: int
    trusted: int
    near: bool
    p_value: float
    elsewhere: list[str]


@dataclass(frozen=True, slots=True)
class CopiesFound:
    """What stands in a batch and in others of its dataset.

    Attributes:
        looked: the batches that it was compared with, the newest first; the sha256 is of their
            fingerprints.
        left_out: those that it could not be compared with, and whose fingerprints are lost or
            changed.
        reaching: groups of copies that reach the policy's size.
        usual: of those, the ones of which a trusted record with the same label is a copy.
        named: groups that are not usual and more than chance explains.
        records: records of this batch in them.
        groups: the first ones of those, the least likely first.
        smallest: copies that a single group needs to be named beside this reference; null: none
            that the batches could have is enough.
        again: batches most of whose records stand in this one: it delivers them again, and they do
            not count.
        exact: batches that were searched for equal contents only, because the search for near
            copies had become too large, or their vectors are of another encoder.
        other_columns: batches that were searched for near copies only, because their contents are
            of other columns.
    """

    looked: list[PoolMember]
    left_out: list[LeftOut]
    reaching: int
    usual: int
    named: int
    records: int
    groups: list[CopyGroup]
    smallest: int | None
    again: list[str]
    exact: int
    other_columns: int


@dataclass(frozen=True, slots=True)
class SmallBatchPool:
    """The small batches of a source that one of them was looked at with.

    Attributes:
        together: with how many of the members, the nearest first, it was judged; 0: alone; None: it
            could not be judged.
        members: the others, the nearest first.
    """

    together: int | None
    members: list[PoolMember]


@dataclass(frozen=True, slots=True)
class SourceEvidence:
    """What a source's batches tell together, up to one of them: the next one goes on from here.

    Attributes:
        counted: sha256 (hex) of the meanings of the policies whose screenings count.
        seen: the last ledger entry when the batches before were looked up.
        batches: how many p-values are in it.
        logs: log of the evidence per power, as of `lazaretto.stats.martingale.EProcess`; empty
            without a p-value.
        small: records with a small p-value, of all batches.
        scored: records that have one.
        tests: the batches' smallest p-values of tests: classes of a fixed width on a log scale,
            each with how many batches are in it.
        moved: share of columns that had moved, of the last batches where that was measured.
        slow: what odd records tell by class; None: none were counted.
        local: as `tests`, of the tests that look at parts of a batch.
        looks: how often its batches were looked at together for neighbourhoods.
        looks_p: p-value of the last look, adjusted for all of them.
    """

    counted: str
    seen: int
    batches: int
    logs: list[float]
    small: int
    scored: int
    tests: list[tuple[int, int]]
    moved: list[float]
    slow: SlowEvidence | None = None
    local: list[tuple[int, int]] = field(default_factory=list)
    looks: int = 0
    looks_p: float = 1.0


@dataclass(frozen=True, slots=True)
class ColumnMove:
    """How far one column, or one axis of the embedding, is from the reference's.

    Attributes:
        column: name of the column, or ``embedding[n]``.
        kind: ``numeric``, ``categorical`` or ``text``.
        psi: population stability index.
        ks: Kolmogorov-Smirnov statistic; None where it is not defined.
        adjusted: p-value, adjusted for the number of columns.
        band: ``none``, ``moderate``, ``significant`` or ``major``, by the index.
        nulls: change of the share of nulls.
    """

    column: str
    kind: str
    psi: float
    ks: float | None
    adjusted: float
    band: str
    nulls: float


@dataclass(frozen=True, slots=True)
class DriftSummary:
    """Drift of a batch's columns: how many were compared, how many moved, those that moved most.

    Attributes:
        rows: records that were compared.
        columns: columns that were compared.
        moved: columns that moved.
        unknown: columns that the reference does not know.
        level: of adjusted p-values, from which a column counts as moved.
        worst: columns that moved most.
        golden_mismatch: share of the golden rows whose vectors changed; None: not encoded again.
        table: the file with the figures of every column.
    """

    rows: int
    columns: int
    moved: int
    unknown: int
    level: float
    worst: list[ColumnMove]
    golden_mismatch: float | None
    table: StoredFile

    @property
    def share(self) -> float:
        """Share of its columns that moved."""
        return self.moved / max(1, self.columns)


@dataclass(frozen=True, slots=True)
class Deploy:
    """Which code ran: of the workflow that a stage was a part of.

    Attributes:
        workflow: its name, such as a DAG's id.
        version: id of its version, as the scheduler numbers it, or of the bundle that it came from;
            None where it has none.
        code: sha256 (hex) of the file that defines it; None where that cannot be read.
    """

    workflow: str
    version: str | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class TriageSummary:
    """What most likely happened to a batch, and why; it informs, and decides nothing.

    Attributes:
        category: ``NONE``, ``ENVIRONMENT``, ``POISONING`` or ``PIPELINE``.
        scores: evidence for each category, 0 to 1.
        evidence: the facts behind it, most telling first.
    """

    category: str
    scores: dict[str, float]
    evidence: list[str]


@dataclass(frozen=True, slots=True)
class Release:
    """Records of a publication that one decision released.

    Attributes:
        decision: its id.
        records: how many of the publication's records it is in force on.
        by: id of who decided, as in `Actor.id`.
    """

    decision: str
    records: int
    by: str


@dataclass(frozen=True, slots=True)
class PromotionChange:
    """What a promotion changes on past batches, by the reference that was in use.

    Attributes:
        batches: past batches that were compared.
        verdicts: of them, those with another verdict.
        no_longer_held: records that only the old version holds.
        newly_held: records that only the new version holds.
    """

    batches: int
    verdicts: int
    no_longer_held: int
    newly_held: int


class HoldKind(StrEnum):
    """What a hold of an incident stops.

    ``SOURCE``: deliveries of a source are received and screened, and the gate holds each as a
    whole. ``PUBLISHING``: nothing enters a dataset. ``PROMOTION``: no version of a model is put in
    use.
    """

    SOURCE = "SOURCE"
    PUBLISHING = "PUBLISHING"
    PROMOTION = "PROMOTION"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the lineage: once by a trace, or as long as an incident is open.

    Attributes:
        kind: source, batch, record, model, key, policy, reference, decision or dataset.
        subject: source name, batch id, ``batch#record``, ``name@version``, id of a key or decision.
        since: start (included) of the window of a source or key; None: from the beginning.
        until: its end (excluded); None: until now.
        by: what of a source's batches must lie in the window: received, collected or either.
        without: batches that are taken as if they had not been delivered.
        registry: of the model, where it was named.
    """

    kind: str
    subject: str
    since: datetime | None = None
    until: datetime | None = None
    by: str = EITHER
    without: list[str] = field(default_factory=list)
    registry: str | None = None


@dataclass(frozen=True, slots=True)
class PlacedModel:
    """A model version of an answer, and the registry that has it.

    Attributes:
        registry: namespace of the model registry.
        model: ``model@version``.
        unknown: whether it only may be affected.
    """

    registry: str
    model: str
    unknown: bool


@dataclass(frozen=True, slots=True)
class DrilledAttack:
    """What a drill found of one attack.

    Attributes:
        name: of the attack.
        doses: shares of the copy that were poisoned, ascending.
        recall: share of the poison that the gate held, at each dose; the mean over the draws.
        smallest: smallest dose from which on the attack is caught; null: it is at none.
        why_not: why the attack was not tried; empty: it was.
        low: lower end of an interval for that mean, at each dose.
        high: upper end of it.
        draws: how often each dose was drawn.
    """

    name: str
    doses: list[float] = field(default_factory=list)
    recall: list[float] = field(default_factory=list)
    smallest: float | None = None
    why_not: str = ""
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    draws: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RefusedFor:
    """One thing that speaks against putting a model version in use.

    Attributes:
        code: stable machine-readable reason, such as ``recalled`` or ``no_evidence``.
        text: the same in words.
    """

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class PromotionBasis:
    """What the promotion of a model version rests on.

    Attributes:
        checked: ledger entry up to which was looked.
        previous: version that the name stood for before; null: none.
        policies: what the policies say that decided (sha256, hex), by dataset.
        evaluations: ledger entries of the evaluations that count.
        notes: what a policy allowed although it is not known, in words.
    """

    checked: int
    previous: str | None
    policies: dict[str, str] = field(default_factory=dict)
    evaluations: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class IncidentAnswer:
    """What the records said to the question of an incident, at one time.

    Attributes:
        head: ledger entry up to which the answer looks.
        complete: whether it is whole, as far as the records say.
        batches: batches in question.
        models: model versions that are known to be affected, as ``model@version``.
        unknown: model versions that may be affected.
        report: files of the report in the store; empty: none was kept.
        placed: in which registry each of the models is.
        measured: model versions that were only measured with what is in question: their weights
            did not learn from it, but what was measured is wrong.
    """

    head: int
    complete: bool
    batches: list[str]
    models: list[str]
    unknown: list[str] = field(default_factory=list)
    report: list[StoredFile] = field(default_factory=list)
    placed: list[PlacedModel] = field(default_factory=list)
    measured: list[str] = field(default_factory=list)
