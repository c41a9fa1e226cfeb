"""Screen: judge a batch's vectors against the reference. Long: all that a screening depends on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lazaretto.contract import contract_digest
from lazaretto.drift.deployed import deploy_change
from lazaretto.drift.source import Evidence, Question, evidence_before, last_screening
from lazaretto.drift.watch import watch
from lazaretto.engine import open_engine
from lazaretto.errors import ReferenceMismatchError, UsageError
from lazaretto.ledger.chain import head
from lazaretto.ledger.events import BatchEmbedded, BatchScreened
from lazaretto.policy.effective import for_source, screened_by, settings_told
from lazaretto.received import find_batch, on_record
from lazaretto.registry.profiles import load_profile
from lazaretto.registry.references import load_stored, read_reference
from lazaretto.sources.recorded import read_source
from lazaretto.stages.clean import open_cleaned
from lazaretto.stages.companions import candidates, pool_on_record, read_companions
from lazaretto.stages.copied_before import came_before, look_for_copies
from lazaretto.stages.looked_back import looked_at, read_earlier
from lazaretto.stages.results import (
    Reading,
    StageResult,
    record_result,
    skipped,
    stage_key,
)
from lazaretto.stages.spread import Records, work_path
from lazaretto.stages.spread_screen import Loaded, Scoring, screened
from lazaretto.storage.sidecars import read_table, write_table
from lazaretto.values import Verdict, to_json

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from lazaretto.ledger.events import BatchValidated
    from lazaretto.policy import Policy
    from lazaretto.received import Received
    from lazaretto.registry.stored import StoredReference
    from lazaretto.screen import Screening
    from lazaretto.stages.companions import Candidate
    from lazaretto.stages.copied_before import Before
    from lazaretto.stages.looked_back import LookedAt
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import SourceSettings, StoredFile, TestSummary


@dataclass(frozen=True, slots=True)
class _Key:
    """What a screening depends on; on companions only where the batch turns out to be small.

    Attributes:
        reads: what is read of the policy, as sha256 (hex).
        batch: digest of the batch.
        reference: digest of the reference.
        failures: sha256 (hex) of what the contract failed.
        embeddings: sha256 (hex) of the vectors; None where the batch brings them.
        companions: other small batches of the source.
        settings: what the policy asks of the source; None: the same as of all.
    """

    reads: str
    batch: str
    reference: str
    failures: str
    embeddings: str | None
    companions: list[Candidate]
    settings: SourceSettings | None

    def of(self, small: bool) -> str:
        """The key of the result for a batch that is small, or is not."""
        inputs: dict[str, object] = {
            "reads": self.reads,
            "batch": self.batch,
            "reference": self.reference,
            "failures": self.failures,
            "embeddings": self.embeddings,
        }
        if self.settings is not None:
            inputs["settings"] = to_json(screened_by(self.settings))
        if not small or not self.companions:
            return stage_key(**inputs)
        pool = [[one.batch, one.scores.sha256] for one in self.companions]
        return stage_key(**inputs, pool=pool)

    def find(self, connection: Connection, reading: Reading) -> StageResult[BatchScreened] | None:
        """What a screening of the same gave: of a small batch, with the same companions."""
        found = reading.find(connection, "screen", BatchScreened, self.of(small=True))
        if found is None and self.companions:
            found = reading.find(connection, "screen", BatchScreened, self.of(small=False))
            if found is not None and found.said.pool is not None:
                return None  # it was small, and had none then
        return found


def screen(workspace: Workspace, batch: str, policy: Policy) -> StageResult[BatchScreened]:
    """Screens the records that the contract did not fail.

    A batch whose contract is broken as a whole is not screened: the gate holds it anyway. Nor is
    any where the policy's `screen.mode` is off.

    Args:
        workspace: catalog and store.
        batch: id of a validated (and, unless it brings its vectors, embedded) batch.
        policy: names the reference, the detectors and the rate.

    Returns:
        What the batch was judged by, where a judgement stands. Its event has the verdict and what
        every detector and test said; the file has one row per screened record.

    Raises:
        NotFoundError: no such batch, or no such reference.
        ReferenceMismatchError: batch or policy does not fit the reference.
        UsageError: the batch is not validated, or not embedded, under this policy.
        ChangedFileError: a stored file is gone or was changed.

    Examples:
        >>> from lazaretto import stages
        >>> batch = stages.receive(workspace, "wednesday.parquet", "vendor", policy=policy).id
        >>> for stage in (stages.validate, stages.embed):
        ...     _ = stage(workspace, batch, policy)
        >>> screen(workspace, batch, policy).event.verdict.name
        'PASS'
    """
    contract = contract_digest(policy)
    with workspace.catalog.read() as connection:
        received = find_batch(connection, batch)
        reading = Reading.of(connection, batch, policy, contract)
        settled = reading.settled(connection, "screen", BatchScreened)
        if settled is not None:
            return settled
        validated = reading.require_validated(connection)
        if validated.said.broken or not policy.screen.runs:
            return skipped("screen", validated)
        stored = read_reference(connection, policy.screen.reference or policy.dataset)
        embeddings = list(reading.results(connection, "embed", BatchEmbedded))
        vectors = _vectors(embeddings, stored, policy, batch)
        reads = reading.reads("screen")
        source = read_source(connection, received.source)
        key = _Key(
            reads=reads,
            batch=received.digest,
            reference=stored.digest,
            failures=validated.said.failures.sha256,
            embeddings=vectors.sha256 if vectors else None,
            companions=candidates(connection, reading, received, stored.digest),
            settings=settings_told(policy, source.names, source.trust_tier),
        )
        before = key.find(connection, reading)
        if before is not None:
            return before
        earlier = last_screening(connection, received.source)
        past, question = Evidence(), None
        together: list[LookedAt] = []
        if policy.screen.drift.mode != "off":
            question = Question(received.source, stored.digest, reading.counted)
            past = evidence_before(connection, question, received.seq)
            together = looked_at(connection, question, past, received)
        before_it = came_before(connection, reading, received)
        seen = head(connection)
    with on_record(workspace, batch, "screen"):
        event, after = _screen(
            workspace,
            received,
            reading,
            stored,
            past,
            validated.said,
            vectors,
            key,
            earlier,
            together,
            before_it,
        )
    if question is not None and after is not None:
        event = replace(event, source_evidence=after.to_record(question.counted, seen))
    return record_result(workspace, reading, "screen", event)


def _screen(
    workspace: Workspace,
    received: Received,
    reading: Reading,
    stored: StoredReference,
    past: Evidence,
    validated: BatchValidated,
    vectors: StoredFile | None,
    key: _Key,
    earlier: BatchScreened | None,
    together: list[LookedAt],
    before_it: list[Before],
) -> tuple[BatchScreened, Evidence | None]:
    from lazaretto.screen._seed import seed_of

    batch, store = received.id, workspace.store
    policy = for_source(reading.policy, key.settings)
    reference = load_stored(workspace, stored)
    failures = read_table(store, validated.failures, columns=["record_id"])
    data = open_cleaned(workspace, received, validated.cleaned)
    profile, sample = load_profile(workspace, stored), None
    seed = seed_of(received.digest, reference.digest)
    if profile is not None and policy.screen.drift.mode != "off":
        # Drift is measured on records that the screening reads anyway.
        sample = profile.sample(data.schema, policy, rows=received.rows, seed=seed)
    records = Records.of(received, validated.cleaned)
    job = Scoring(
        records,
        policy,
        stored,
        validated.failures,
        vectors,
        sample,
        seed,
    )
    exclude = set(failures["record_id"].to_pylist())
    with open_engine(policy, store, work_path(batch)) as engine:
        loaded = Loaded(store, lambda: records.open(store), reference, exclude)
        companions = read_companions(store, key.companions)
        before = read_earlier(store, together)
        screening, embeddings = screened(job, engine, loaded, companions, before.batches)
    watched = watch(
        workspace,
        screening,
        policy=policy,
        reference=reference,
        past=past,
        profile=profile,
        sample=sample,
        embeddings=embeddings,
        path=f"batches/{batch}/drift-{{sha256}}.parquet",
        deployed=deploy_change(workspace.deploy, earlier, batch),
    )
    drift = policy.screen.drift
    screening = screening.noted(before.note)
    screening = _with_test(screening, watched.source, enforced=drift.mode == "enforce")
    screening = _with_test(screening, watched.fault, enforced=drift.faults == "enforce")
    copied = None
    if policy.screen.copies.mode != "off":
        copied = look_for_copies(
            store,
            received,
            data,
            screening,
            before_it,
            policy=policy,
            reference=reference,
            encoder=stored.encoder_digest,
            vectors=vectors,
            exclude=exclude,
        )
        screening = copied.screening
    scores = write_table(store, f"batches/{batch}/scores-{{sha256}}.parquet", screening.records)
    suspects = None
    if watched.evidence is not None and screening.suspects is not None:
        path = f"batches/{batch}/suspects-{{sha256}}.parquet"
        suspects = write_table(store, path, screening.suspects)
    event = BatchScreened(
        batch=batch,
        policy=reading.ref,
        reference=reference.name,
        reference_version=str(reference.version),
        reference_digest=reference.digest,
        verdict=screening.verdict,
        rows=screening.records.num_rows,
        held=screening.n_held,
        false_quarantine_rate=policy.screen.false_quarantine_rate,
        min_detectable=screening.min_detectable,
        detectors=screening.detectors,
        tests=screening.tests,
        scores=scores,
        inputs=key.of(screening.pool is not None),
        reads=reading.reads("screen"),
        note=screening.note,
        batch_p_value=watched.p_value,
        evidence=watched.facts,
        drift=watched.drift,
        triage=watched.triage,
        smallest=screening.smallest,
        pool=pool_on_record(screening.pool, key.companions),
        settings=key.settings,
        deploy=workspace.deploy,
        suspects=suspects,
        earlier=before.members,
        left_out=before.left_out,
        prints=None if copied is None else copied.prints,
        copies=None if copied is None else copied.found,
    )
    return event, watched.evidence


def _with_test(screening: Screening, test: TestSummary | None, *, enforced: bool) -> Screening:
    """The screening with one more test; enforced, it holds the batch where it fired."""
    if test is None:
        return screening
    screening = replace(screening, tests=[*screening.tests, test])
    if not test.fired or not enforced:
        return screening
    verdict = screening.verdict
    verdict = verdict if verdict.holds_batch else Verdict.HOLD_BATCH
    return replace(screening, verdict=verdict).noted(f"{test.name}: {test.detail}")


def _vectors(
    embeddings: list[StageResult[BatchEmbedded]],
    reference: StoredReference,
    policy: Policy,
    batch: str,
) -> StoredFile | None:
    """The newest vectors of a batch that the reference's encoder made; None for a column's own.

    The policy alone does not tell: weights that it names by path may have been others when the
    batch was embedded.

    Raises:
        UsageError: there are none.
        ReferenceMismatchError: there are only vectors of another encoder; it says which differs.
    """
    own = policy.embed.encoder == "column"
    if not embeddings:
        if own:
            return None
        raise UsageError(f"{batch} is not embedded under this policy: run `embed` first")
    for result in embeddings:
        if result.said.encoder_digest == reference.encoder_digest:
            return None if own else result.said.vectors
    made = embeddings[0].said
    what = "weights or preprocessing" if made.encoder == reference.encoder else "name"
    raise ReferenceMismatchError(
        f"the vectors of {batch} are of another encoder than reference {reference.name}/"
        f"{reference.version}, by its {what}: {made.encoder} (digest "
        f"{made.encoder_digest[:12]}) instead of {reference.encoder} "
        f"({reference.encoder_digest[:12]}): restore the encoder and embed the batch again, or fit "
        "a new reference"
    )
