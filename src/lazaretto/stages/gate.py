"""Gate: one verdict of all that was found, and the quarantine. Long: look, hold and commit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lazaretto.authority import judgements
from lazaretto.authority.conditions import Objection, kept_envelope, objections, source_holds
from lazaretto.authority.judgements import (
    Judged,
    settled_judgement,
    shadow_judgements,
    standing_judgement,
)
from lazaretto.authority.policies import policy_in_force, register_first
from lazaretto.contract import contract_digest
from lazaretto.dataset.evolve import in_words
from lazaretto.dataset.schema import MISFIT
from lazaretto.errors import SystemFaultError, UsageError
from lazaretto.ledger.chain import append, head, newest
from lazaretto.ledger.chain import entry as entry_of
from lazaretto.ledger.events import BatchEmbedded, BatchJudged, BatchScreened, ShadowJudged
from lazaretto.ledger.meanwhile import STAGES_AND_ADMISSIONS, moved_since
from lazaretto.ledger.state import record
from lazaretto.policy.effective import screened_by, settings_told
from lazaretto.quarantine import opening
from lazaretto.quarantine.dropped import reject_dropped
from lazaretto.quarantine.held import HoldReasons, Sample, count_held, write_held
from lazaretto.quarantine.opening import case_id, index_held
from lazaretto.received import find_batch, on_record
from lazaretto.sources.recorded import read_source
from lazaretto.stages.clean import open_cleaned
from lazaretto.stages.fit import batch_fit
from lazaretto.stages.judgement import Judgement, decided_before, judgement_of, shadow_of
from lazaretto.stages.results import Reading, stage_key
from lazaretto.stages.verdict import dropped_records, read_findings, told_cleaning, verdict_of
from lazaretto.storage.flags import read_flags
from lazaretto.values import ColumnRoles, Verdict, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.authority.policies import Registered
    from lazaretto.ledger.chain import Entry
    from lazaretto.ledger.events import BatchValidated
    from lazaretto.ledger.state import Change
    from lazaretto.policy import Policy
    from lazaretto.quarantine.held import Held
    from lazaretto.received import Received
    from lazaretto.stages.results import StageResult
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import PolicyRef, SourceSettings


_UNSCREENED = (
    "not screened: screen.mode is off, so nobody looked for poison that keeps the contract's rules"
)


@dataclass(frozen=True, slots=True)
class _View:
    """What the gate judges, as it was found in one view of the catalog.

    `lot` is the hash of the ledger entry of the receipt: what is drawn by it nobody could foresee.
    `last` is the judgement that stands for the dataset, `before` the entry of the newest for any,
    and `seen` the ledger's last entry then.
    """

    received: Received
    policy: Policy
    ref: PolicyRef
    validation: StageResult[BatchValidated]
    vectors: StageResult[BatchEmbedded] | None
    screening: StageResult[BatchScreened] | None
    objections: list[Objection]
    settings: SourceSettings | None
    lot: str
    in_force: Registered | None
    shadows: list[tuple[int, ShadowJudged]]
    last: Judged | None
    before: int
    seen: int

    @property
    def validated(self) -> BatchValidated:
        """What the contract found."""
        return self.validation.said

    @property
    def screened(self) -> BatchScreened | None:
        """What screening found; None where the contract is broken, or the policy screens none."""
        return None if self.screening is None else self.screening.said

    @property
    def sample(self) -> Sample | None:
        """What is drawn at random for people; None: nothing is."""
        share = 0.0 if self.settings is None else self.settings.review_share
        return Sample(self.lot, share) if share else None

    @property
    def inputs(self) -> str:
        """sha256 (hex) of all that the verdict depends on."""
        told = {} if self.settings is None else {"settings": to_json(self.settings)}
        return stage_key(
            **told,
            policy=self.ref.meaning,
            failures=self.validated.failures.sha256,
            scores=self.screened.scores.sha256 if self.screened else None,
            objections=[objection.code for objection in self.objections],
        )


def gate(workspace: Workspace, batch: str, policy: Policy) -> Judgement:
    """Judges a batch by its contract failures and its screening, both made under this policy.

    The quarantine is written before anything can be admitted: held rows go to the store first, then
    verdict, case, index of held records and ledger entry are one transaction.

    A judgement stands until a person sets it aside: done again, whatever became of policy and
    reference since, the gate gives back what was decided, and says so.

    The first policy that judges for a dataset is put in force for it. Under any other one the gate
    judges in shadow: what it would have decided goes on record, and changes nothing. A delivery
    that the policy would not take any more (unsigned, its key or its source revoked) is held, and
    so is one whose source is on hold for an incident.

    Args:
        workspace: catalog and store.
        batch: id of a validated and screened batch.
        policy: the same as of the stages before.

    Raises:
        NotFoundError: no such batch.
        UsageError: a stage before is missing.
        ChangedFileError: a stored file is gone or was changed.
        ChangedStateError: the catalog does not say what the ledger says.

    Examples:
        >>> from lazaretto import stages
        >>> batch = stages.receive(workspace, "wednesday.parquet", "vendor", policy=policy).id
        >>> for stage in (stages.validate, stages.embed, stages.screen):
        ...     _ = stage(workspace, batch, policy)
        >>> gate(workspace, batch, policy).verdict.name
        'PASS'
    """
    with on_record(workspace, batch, "gate"):
        view = _look(workspace, batch, policy)
        if isinstance(view, Judgement):
            return view
        fit = batch_fit(workspace, view.received, policy, view.validated.named)
        misfits = [Objection(MISFIT, problem) for problem in fit.problems]
        view = replace(view, objections=[*view.objections, *misfits])
        before = _judged_before(view)
        if before is not None:
            return before
        verdict, whole = verdict_of(view.received.rows, view.validated, view.screened, policy)
        if view.objections:
            verdict = Verdict.HOLD_BATCH
            whole = [*(objection.text for objection in view.objections), *whole]
        held = _hold(workspace, view, whole)
        if verdict is Verdict.PASS and held.rows:
            verdict = Verdict.HOLD_RECORDS
    notes = [*whole, *_suspected(view, held), *told_cleaning(view.validated, view.policy)]
    if verdict is Verdict.HOLD_BATCH:  # the values behind what contract or dataset miss
        notes += view.received.event.not_of_type
    if not fit.problems:
        notes += in_words(fit, policy.dataset)
    if not policy.screen.runs:
        notes.append(_UNSCREENED)
    said = None if view.screened is None else view.screened.note
    if said is not None and said not in whole:
        notes.append(said)
    return _commit(workspace, view, verdict, held, notes)


def _look(workspace: Workspace, batch: str, policy: Policy) -> _View | Judgement:
    """What there is to judge; or what was decided, where that stands."""
    contract = contract_digest(policy)
    with workspace.catalog.read() as connection:
        received = find_batch(connection, batch)
        reading = Reading.of(connection, batch, policy, contract)
        settled = settled_judgement(connection, batch, reading.ref)
        if settled is not None:
            return decided_before(connection, settled, policy, reading.ref)
        validation = reading.require_validated(connection)
        source = read_source(connection, received.source)
        settings = settings_told(policy, source.names, source.trust_tier)
        vectors = screening = None
        if policy.screen.runs and not validation.said.broken:
            screening = next(
                (
                    found
                    for found in reading.results(connection, "screen", BatchScreened)
                    if screened_by(found.said.settings) == screened_by(settings)
                ),
                None,
            )
            vectors = next(reading.results(connection, "embed", BatchEmbedded), None)
            if screening is None:
                raise UsageError(f"{batch} is not screened under this policy: run `screen` first")
        envelope = kept_envelope(workspace, received)
        return _View(
            received=received,
            policy=policy,
            ref=reading.ref,
            validation=validation,
            vectors=vectors,
            screening=screening,
            objections=objections(connection, received, envelope, policy, source=source),
            settings=settings,
            lot=entry_of(connection, received.seq).hash,
            in_force=policy_in_force(connection, policy.dataset),
            last=standing_judgement(connection, batch, policy.dataset),
            before=_newest_judged(connection, batch),
            seen=head(connection),
            shadows=shadow_judgements(connection, batch, policy.dataset),
        )


def _in_shadow(view: _View, in_force: Registered | None) -> bool:
    return in_force is not None and in_force.meaning != view.ref.meaning


def _judged_before(view: _View) -> Judgement | None:
    """One in shadow that was made of the same."""
    if _in_shadow(view, view.in_force):
        for seq, event in view.shadows:
            if event.inputs == view.inputs:
                return shadow_of(event, seq)
    return None


def _hold(workspace: Workspace, view: _View, whole: list[str]) -> Held:
    """Writes the held rows; in shadow they are only counted."""
    failures, scores = read_findings(workspace.store, view.validated, view.screened)
    hold_reasons = HoldReasons(
        failures=failures,
        scores=scores,
        whole=whole,
        sample=view.sample,
        flags=read_flags(workspace.store, view.validated.flags),
    )
    data = open_cleaned(workspace, view.received, view.validated.cleaned)
    if _in_shadow(view, view.in_force):
        return count_held(data, view.policy.columns, hold_reasons)
    path = f"held/{view.received.id}/gate-{{sha256}}.parquet"
    return write_held(workspace.store, path, data, view.policy.columns, hold_reasons)


def _suspected(view: _View, held: Held) -> list[str]:
    """Broken rules, and what screening found, in words."""
    rules = [rule.words for rule in view.validated.rules if rule.failed]
    return rules + [
        f"{name}: {count} {'record' if count == 1 else 'records'}; the first: {held.examples[name]}"
        for name, count in held.reasons.items()
        if name.startswith("screen:")
    ]


def _commit(
    workspace: Workspace, view: _View, verdict: Verdict, held: Held, notes: list[str]
) -> Judgement:
    """Verdict, case, index of held records and ledger entry in one transaction, once."""
    batch, dataset = view.received.id, view.policy.dataset
    dropped = dropped_records(workspace.store, view.validated)
    with workspace.catalog.transaction() as connection:
        in_force, last, before = view.in_force, view.last, view.before
        passing = STAGES_AND_ADMISSIONS
        moved = moved_since(connection, view.seen, batch, passing=passing)
        if moved or in_force is None:
            first = f"first use: it judged {batch}"
            in_force = register_first(
                connection, view.policy, view.ref, reason=first, actor=workspace.actor
            )
        if _in_shadow(view, in_force):
            return _commit_shadow(workspace, connection, view, in_force, verdict, held, notes)
        if _in_shadow(view, view.in_force):
            raise SystemFaultError(
                f"the policy in force for {dataset!r} was changed while {batch} was judged: run "
                "`lazaretto batch gate` again"
            )
        if moved:
            settled = settled_judgement(connection, batch, view.ref)
            if settled is not None:  # another process was faster
                return decided_before(connection, settled, view.policy, view.ref)
            _require_no_new_hold(connection, view)
            last = standing_judgement(connection, batch, dataset)
            before = _newest_judged(connection, batch)
        run = f"{view.inputs}\n{before}"
        event = BatchJudged(
            batch=batch,
            policy=view.ref,
            verdict=verdict,
            rows=view.received.rows,
            held=held.rows,
            cleared=view.received.rows - held.rows,
            case=case_id(batch, run) if held.rows else None,
            held_records=held.file,
            columns=_roles(view.policy),
            two_people=view.policy.review.require_two_people,
            inputs=view.inputs,
            reasons=dict(held.reasons),
            notes=notes,
            replaces=None if last is None else last.seq,
            validated=view.validation.seq,
            embedded=None if view.vectors is None else view.vectors.seq,
            screened=None if view.screening is None else view.screening.seq,
            settings=view.settings,
        )
        entry = record(connection, event, _changes, actor=workspace.actor)
        index_held(connection, workspace.store, event)
        if dropped is not None and event.case is not None:
            reject_dropped(connection, workspace, event, *dropped)
    return judgement_of(Judged(entry.seq, event))


def _newest_judged(connection: Connection, batch: str) -> int:
    """Ledger entry of the newest judgement of a batch, for whatever dataset; 0: there is none."""
    found = newest(connection, f"batch:{batch}", [BatchJudged.kind])
    return found.seq if found else 0


def _require_no_new_hold(connection: Connection, view: _View) -> None:
    source = view.received.source
    if any(hold not in view.objections for hold in source_holds(connection, source)):
        raise SystemFaultError(
            f"source {source!r} was put on hold while {view.received.id} was judged: run "
            "`lazaretto batch gate` again"
        )


def _changes(entry: Entry) -> Iterator[Change]:
    yield from judgements.changes(entry)
    yield from opening.changes(entry)


def _commit_shadow(
    workspace: Workspace,
    connection: Connection,
    view: _View,
    in_force: Registered,
    verdict: Verdict,
    held: Held,
    notes: list[str],
) -> Judgement:
    event = ShadowJudged(
        batch=view.received.id,
        policy=view.ref,
        in_force=in_force.meaning,
        verdict=verdict,
        rows=view.received.rows,
        held=held.rows,
        inputs=view.inputs,
        reasons=dict(held.reasons),
        notes=notes,
    )
    return shadow_of(event, append(connection, event, actor=workspace.actor).seq)


def _roles(policy: Policy) -> ColumnRoles:
    columns = policy.columns
    return ColumnRoles(columns.record_id, columns.label, list(columns.payload))
