"""What a trace answers: values that serialise to JSON. Long: each part of an answer is one."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003  the schema is made of these types at run time
from typing import Any

from lazaretto import values
from lazaretto.values import Question  # noqa: TC001  as above

SCHEMA = "lazaretto.trace/1"
"""Version of the JSON document; another number says that readers must be changed."""


@dataclass(frozen=True, slots=True)
class TracedBatch:
    """A batch in question.

    Attributes:
        id: batch id.
        source: who delivered it.
        received_at: when it arrived; None: the ledger never received it.
        collected_from: start of the interval in which it was collected, as its source says.
        collected_to: its end (excluded).
        matched: why it is here: ``collected``, ``received`` or ``both`` (in the window),
            ``undated``, ``named`` (asked for), ``member`` (of what the model learned from).
        signature: `lazaretto.values.SignatureStatus` of its manifest; REVOKED_KEY where its key was
            revoked from an earlier moment on; CLAIMED where only others tell of it.
        digest: sha256 (hex) of its content.
        rows: records in it.
        used_rows: the most of its records that one snapshot holds; None: none holds any.
        recalled_rows: records that were taken back from admitted data.
    """

    id: str
    source: str
    received_at: datetime | None
    collected_from: datetime | None
    collected_to: datetime | None
    matched: str
    signature: str | None
    digest: str | None
    rows: int | None
    used_rows: int | None
    recalled_rows: int


@dataclass(frozen=True, slots=True)
class RefusedDelivery:
    """A delivery under the source's name that was refused; nothing of it reached anything.

    Attributes:
        seq: ledger entry.
        at: when it arrived and was refused.
        uri: where it was delivered, without credentials.
        code: stable reason, such as ``unknown_key``.
        reason: why, in words.
        file_digest: sha256 (hex) of the delivered bytes; None where they were not read.
    """

    seq: int
    at: datetime
    uri: str
    code: str
    reason: str
    file_digest: str | None


@dataclass(frozen=True, slots=True)
class TracedSnapshot:
    """A version of a dataset on the way from batches to models.

    Attributes:
        id: ``dataset@version``.
        namespace: OpenLineage namespace of the dataset.
        name: its OpenLineage name.
        version: its version.
        rows: records in it; None: not known.
        tainted_rows: records of the batches in question in it; None: not known.
        members_known: whether the ledger tells all batches that it holds.
    """

    id: str
    namespace: str
    name: str
    version: str
    rows: int | None
    tainted_rows: int | None
    members_known: bool


@dataclass(frozen=True, slots=True)
class TracedModel:
    """A model version that learned from what is in question.

    Attributes:
        id: ``model@version``.
        registry: namespace of the registry.
        name: name of the model.
        version: its version.
        registered_at: when it was registered.
        roles: how it used the data: TRAIN, FINETUNE, …; EVAL alone falsifies what was measured
            and leaves the weights alone.
        inherited: whether it only learned by way of another model: of its weights, or of a table of
            its predictions.
        rows: records that it learned from.
        tainted_rows: how many of them are in question; None: not known.
        paths: ways from a batch to it, as ids, the shortest among them; not all.
        bases: for each path what each step rests on: ``known``, or ``inferred`` and by which rule.
        external: only others tell of it; the ledger does not.
    """

    id: str
    registry: str
    name: str
    version: str
    registered_at: datetime | None
    roles: list[str]
    inherited: bool
    rows: int | None
    tainted_rows: int | None
    paths: list[list[str]]
    bases: list[list[str]] = field(default_factory=list)
    external: bool = False


@dataclass(frozen=True, slots=True)
class UnknownModel:
    """A model version, or the unknown output of a run, that may be affected.

    Attributes:
        id: ``model@version``, or ``run JOB (ID)``.
        registry: namespace of the registry, or of the job.
        name: name of the model, or of the job.
        version: its version, or the id of the run.
        why: what is not known, in words; the first few reasons.
        paths: ways to it from a batch, or from what nobody told the origin of, as ids; not all.
        bases: for each path what each step rests on: ``known``, or ``inferred`` or ``possible`` and
            by which rule.
    """

    id: str
    registry: str
    name: str
    version: str
    why: list[str]
    paths: list[list[str]] = field(default_factory=list)
    bases: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TracedSource:
    """How much of the answer is one source's.

    Attributes:
        source: its name.
        batches: how many of it are in the answer.
        used_rows: records of them that were used.
    """

    source: str
    batches: int
    used_rows: int


@dataclass(frozen=True, slots=True)
class TracedDecision:
    """Who decided what about a batch, under which policy.

    Attributes:
        seq: ledger entry.
        at: when.
        batch: about which batch.
        what: a verdict (PASS, …), an action (RELEASE, …), ``UNDO`` of one, APPROVE of what would be
            published, ADMIT of what the gate cleared, or PUBLISH of what reviewers released.
        records: how many records it was about.
        actor: who: a person, or the policy where that decided.
        policy: dataset of the policy that it was under; None: a person's decision.
        policy_sha256: sha256 (hex) of its file.
        reason: why.
        case: case of the review.
    """

    seq: int
    at: datetime
    batch: str
    what: str
    records: int
    actor: str
    policy: str | None
    policy_sha256: str | None
    reason: str
    case: str | None


@dataclass(frozen=True, slots=True)
class TracedRelease:
    """Held records that people let into a dataset, in one publication: who did it.

    Attributes:
        seq: ledger entry of the admission.
        at: when.
        batch: of which batch.
        case: case of the review.
        publication: its id.
        dataset: that they entered.
        version: first version of the dataset with them.
        records: how many.
        decisions: ids of the decisions that released them.
        decided_by: who made those.
        approved_by: who approved the publication beforehand.
        published_by: who published.
    """

    seq: int
    at: datetime
    batch: str
    case: str
    publication: str
    dataset: str
    version: int
    records: int
    decisions: list[str]
    decided_by: list[str]
    approved_by: list[str]
    published_by: str


@dataclass(frozen=True, slots=True)
class TracedRecall:
    """Records of the batches in question that were taken back from a dataset.

    Attributes:
        id: of the recall.
        seq: ledger entry.
        at: when.
        dataset: from which dataset.
        version: first version of the dataset without them.
        batches: batches in question that lost records, with how many.
        models: model versions that had seen recalled records.
        actor: who.
        reason: why.
    """

    id: str
    seq: int
    at: datetime
    dataset: str
    version: int
    batches: dict[str, int]
    models: list[str]
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class TracedAlias:
    """A time in which a name such as ``production`` stood for a version of a model in question.

    Attributes:
        seq: ledger entry.
        at: since when.
        until: until when; None: it still does.
        registry: of the model.
        model: name of the model.
        alias: by which applications find the version.
        version: that it stood for.
        state: affected, unknown, measured (only measured with what is in question), asked (the
            version that the question is about), or other.
        actor: who set it.
        reason: why.
    """

    seq: int
    at: datetime
    until: datetime | None
    registry: str
    model: str
    alias: str
    version: str
    state: str
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class RetrainStep:
    """What to do about one model.

    Attributes:
        order: position in the plan, from 1; models that others learned from come first.
        model: name of the model.
        registry: its registry.
        affected: affected versions, oldest first.
        newest: newest version of the model.
        retrain: whether the newest version is affected, so that a new one must be trained.
        exclude: batches to leave out.
        last_clean: newest version that is not affected, to roll back to; None: there is none.
    """

    order: int
    model: str
    registry: str
    affected: list[str]
    newest: str
    retrain: bool
    exclude: list[str]
    last_clean: str | None


@dataclass(frozen=True, slots=True)
class RecordState:
    """What became of one record.

    Attributes:
        record: record id within the batch.
        held: whether quarantine held it; None: the file that tells is gone or was changed.
        case: case of the review.
        action: decision in force on it.
        decision: id of that decision.
        decided_by: who made it.
        publication: id of the publication that let it into the dataset; None: none did.
        approved_by: who approved that publication beforehand.
        published_by: who published it.
        present_in: snapshots (``dataset@version``) in which it was found.
        unchecked: snapshots that could not be read, which count as if it was in them; and files of
            held, decided or published records that could not be read, with the day where retention
            deleted them.
    """

    record: str
    held: bool | None
    case: str | None
    action: str | None
    decision: str | None
    decided_by: str | None
    publication: str | None
    approved_by: list[str]
    published_by: str | None
    present_in: list[str]
    unchecked: list[str]


@dataclass(frozen=True, slots=True)
class Completeness:
    """What the answer rests on, and what it could not see.

    Attributes:
        complete: every version that the question asks for is in the answer, as far as the records
            say, and nothing is unknown. `unsigned` is not counted: it asks whether the records are
            to be believed.
        lag: ledger entries that the index has not seen.
        index_changed: rows of the catalog's lineage index that somebody edited, deleted or added;
            the answer was made from the ledger instead. `lazaretto catalog check` names them.
        unsigned: batches of the answer whose signature was not verified: that they are the
            source's is only claimed.
        without_interval: batches of the answer that do not say when they were collected; the time
            of receipt decided.
        unplaced: batches outside the answer that do not say when they were collected and arrived
            after the window: they may hold data from within.
        only_received: batches of the answer that arrived within the window, but say that they were
            collected outside. Whoever holds the source's key can say so.
        only_collected: batches of the answer that say that they were collected within the window,
            but arrived outside.
        unknown_models: what of `Trace.unknown` is named, as ``model@version``.
        inferred_edges: steps of the answer that follow from a rule, because events did not name
            both versions.
        possible_batches: batches that a model may have learned from, where the question is that.
        origins: what a model was made of and nobody told the origin of, in words.
        external_nodes: versions in the answer known only from events of others.
        unchecked_snapshots: snapshots that could not be read for the record in question.
        elsewhere: where the batches of the source, or of the key, lie when none is in the window,
            in words.
    """

    complete: bool
    lag: int
    index_changed: int
    unsigned: list[str]
    without_interval: list[str]
    unplaced: list[str]
    only_received: list[str]
    only_collected: list[str]
    unknown_models: list[str]
    inferred_edges: int
    possible_batches: list[str]
    origins: list[str]
    external_nodes: int
    unchecked_snapshots: list[str]
    elsewhere: str | None = None

    def caveats(self) -> list[str]:
        """What a reader must know, in sentences; empty when there is nothing."""
        told: tuple[tuple[int | list[str], str], ...] = (
            (self.lag, "ledger entries that are not in the index yet"),
            (
                self.index_changed,
                "rows of the lineage index that do not say what the ledger says: somebody changed "
                "the catalog, and this answer was made from the ledger instead; see `lazaretto "
                "catalog check`",
            ),
            (
                self.unknown_models,
                "model versions that may be affected: what they were made of is not known",
            ),
            (self.origins, "things that it was made of and nobody told the origin of"),
            (self.possible_batches, "batches that it may have learned from"),
            (self.unsigned, "batches without a verified signature, whose source is only claimed"),
            (
                self.without_interval,
                "batches that do not say when they were collected, so that the receipt decided",
            ),
            (
                self.unplaced,
                "later batches that do not say when they were collected, and may hold data from "
                "the window",
            ),
            (
                self.only_received,
                "batches that arrived within the window but say that they were collected outside",
            ),
            (
                self.only_collected,
                "batches that say that they were collected within the window but arrived outside",
            ),
            (self.inferred_edges, "steps that follow from a rule, as events named no version"),
            (
                self.external_nodes,
                "versions known only from events of others, which nothing verifies",
            ),
            (
                self.unchecked_snapshots,
                "snapshots, or files of held records, that could not be read; such a snapshot "
                "counts as holding the record",
            ),
        )
        counted = [
            (value if isinstance(value, int) else len(value), text) for value, text in told if value
        ]
        sentences = [f"{text} ({count})" for count, text in counted]
        return ([self.elsewhere] if self.elsewhere else []) + sentences


@dataclass(frozen=True, slots=True)
class Trace:
    """The answer to one question.

    Attributes:
        question: what was asked.
        at: when.
        seq: ledger entry up to which the answer looks.
        batches: batches in question, oldest first.
        snapshots: dataset versions on the way.
        models: model versions that are affected, in order of registration.
        unknown: what may be affected, and why that is not known.
        evaluated: model versions that were only measured with what is in question: their weights
            did not learn from it, but what was measured is wrong.
        sources: shares of the sources, the largest first.
        decisions: who let what through, in order.
        releases: publications of held records, in order, each with who decided, approved and
            published.
        recalls: what was taken back since.
        retrain: what to do, in order; empty when the question is about a model.
        record: what became of the record, when the question is about one.
        refused: deliveries that were refused within the window of a source, by their arrival: who
            delivered what is not known, and when its records were collected neither. The newest
            `MOST_REFUSED`.
        completeness: what the answer could not see.
        unaffected: how many other model versions anybody told of; they are clear.
        aliases: names such as ``production`` that stood for versions of the models in question, of
            other versions of these models too, in the order in which they were set.
    """

    question: Question
    at: datetime
    seq: int
    batches: list[TracedBatch]
    snapshots: list[TracedSnapshot]
    models: list[TracedModel]
    unknown: list[UnknownModel]
    evaluated: list[TracedModel]
    sources: list[TracedSource]
    decisions: list[TracedDecision]
    releases: list[TracedRelease]
    recalls: list[TracedRecall]
    retrain: list[RetrainStep]
    record: RecordState | None
    refused: list[RefusedDelivery]
    completeness: Completeness
    unaffected: int = 0
    aliases: list[TracedAlias] = field(default_factory=list)

    @property
    def in_use(self) -> list[TracedAlias]:
        """What applications use now, by name: the affected first, then what may be."""
        order = {"affected": 0, "unknown": 1}
        now = [alias for alias in self.aliases if alias.until is None]
        return sorted(now, key=lambda one: (order.get(one.state, 2), one.model, one.alias))

    @property
    def batch_ids(self) -> list[str]:
        """Ids of the batches."""
        return [batch.id for batch in self.batches]

    @property
    def model_ids(self) -> list[str]:
        """``model@version`` of the models."""
        return [model.id for model in self.models]

    @property
    def complete(self) -> bool:
        """Whether every version that the question asks for is here; see `Completeness`."""
        return self.completeness.complete

    @property
    def clear(self) -> bool:
        """Whether nothing is affected, for sure."""
        return self.complete and not (self.models or self.evaluated)

    def to_json(self) -> dict[str, Any]:
        """The answer as `lazaretto.lineage.trace_schema` describes it.

        Moments are ISO 8601 in UTC, and caveats sentences.
        """
        value: dict[str, Any] = {"schema": SCHEMA} | values.to_json(self)
        value["completeness"]["caveats"] = self.completeness.caveats()
        return value
