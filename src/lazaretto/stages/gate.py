"""Gate: merge what contract and screening found into one verdict, and write the quarantine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.errors import ChangedFileError, UsageError
from lazaretto.ledger.chain import append, newest
from lazaretto.ledger.events import BatchJudged, BatchScreened
from lazaretto.quarantine.held import HoldReasons, write_held
from lazaretto.quarantine.opening import case_id, open_gate_case
from lazaretto.received import find_batch, open_stored
from lazaretto.stages.results import (
    StageResult,
    find_result,
    insert_result,
    newest_result,
    on_record,
    require_validated,
    stage_key,
)
from lazaretto.storage import tables
from lazaretto.storage.sidecars import read_table
from lazaretto.values import ColumnRoles, Verdict

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy.engine import Connection

    from lazaretto.ledger.events import BatchValidated
    from lazaretto.policy import Policy
    from lazaretto.received import Received
    from lazaretto.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the gate decided.

    Attributes:
        batch: id of the batch.
        verdict: see `Verdict`.
        rows: records of the batch.
        held: records in quarantine.
        cleared: records that may be admitted; 0 when the batch is held.
        case: id of the review case; None when nothing is held.
        reasons: held records by the signature of their first reason.
        notes: in words: what is wrong with the batch as a whole, which rules its records broke, and
            what screening found in them.
        seq: ledger entry.
    """

    batch: str
    verdict: Verdict
    rows: int
    held: int
    cleared: int
    case: str | None
    reasons: dict[str, int]
    notes: list[str] = field(default_factory=list)
    seq: int = 0


def gate(workspace: Workspace, batch: str, policy: Policy) -> Judgement:
    """Judges a batch by its contract failures and its screening, both made under this policy.

    The quarantine is written before anything can be admitted: held rows go to the store first, then
    verdict, case, index of held records and ledger entry are one transaction.

    Args:
        workspace: catalog and store.
        batch: id of a validated and screened batch.
        policy: the same as of the stages before.

    Raises:
        NotFoundError: no such batch.
        UsageError: a stage before is missing, or another judgement of the batch was acted on.
        ChangedFileError: a stored file is gone or was changed.
    """
    with workspace.catalog.read() as connection:
        received = find_batch(connection, batch)
        validated = require_validated(connection, batch, policy)
        screened = None
        if not validated.said.broken:
            screened = newest_result(connection, batch, "screen", BatchScreened, policy)
            if screened is None:
                raise UsageError(f"{batch} is not screened under this policy: run `screen` first")
        key = stage_key(
            policy=policy.meaning,
            failures=validated.said.failures.sha256,
            scores=screened.said.scores.sha256 if screened else None,
        )
        before = find_result(connection, batch, "gate", BatchJudged, key)
    if before is not None:
        return _judgement(before)
    with on_record(workspace, batch, "gate"):
        event = _judge(workspace, received, policy, validated, screened, key)
    return _commit(workspace, event, key, policy)


def _judge(
    workspace: Workspace,
    received: Received,
    policy: Policy,
    validated: StageResult[BatchValidated],
    screened: StageResult[BatchScreened] | None,
    key: str,
) -> BatchJudged:
    verdict, whole = _verdict(received.rows, validated.said, screened, policy)
    failures, scores = _read(workspace, validated.said, screened)
    hold_reasons = HoldReasons(failures=failures, scores=scores, whole=whole)
    held = write_held(
        workspace.store,
        f"held/{received.id}/gate-{{sha256}}.parquet",
        open_stored(workspace, received),
        policy.columns,
        hold_reasons,
    )
    rules = [rule.words for rule in validated.said.rules if rule.failed]
    suspected = [
        f"{name}: {count} {'record' if count == 1 else 'records'}; the first: {held.examples[name]}"
        for name, count in held.reasons.items()
        if name.startswith("screen:")
    ]
    return BatchJudged(
        batch=received.id,
        policy=policy.ref(),
        verdict=verdict,
        rows=received.rows,
        held=held.rows,
        cleared=received.rows - held.rows,
        case=case_id(received.id, key) if held.rows else None,
        held_records=held.file,
        columns=ColumnRoles(
            policy.columns.record_id, policy.columns.label, list(policy.columns.payload)
        ),
        two_people=policy.review.require_two_people,
        reasons=dict(held.reasons),
        notes=whole + rules + suspected,
    )


def _read(
    workspace: Workspace,
    validated: BatchValidated,
    screened: StageResult[BatchScreened] | None,
) -> tuple[pa.Table, pa.Table | None]:
    """Failures and scores, which must count what the ledger says of them.

    Raises:
        ChangedFileError: a file is gone, was changed, or does not say what its stage said.
    """
    failures = read_table(workspace.store, validated.failures)
    failing = len(failures["position"].unique())
    if failing != validated.failing_rows:
        found = f"it has {failing} failing records, validation found {validated.failing_rows}"
        file = validated.failures
        raise ChangedFileError(file.path, expected=file.sha256, found=found)
    if screened is None:
        return failures, None
    said = screened.said
    scores = read_table(workspace.store, said.scores)
    held = int(scores["held"].to_numpy().sum())
    if (scores.num_rows, held) != (said.rows, said.held):
        found = (
            f"it has {scores.num_rows} records and holds {held}, screening judged {said.rows} and "
            f"held {said.held}"
        )
        raise ChangedFileError(said.scores.path, expected=said.scores.sha256, found=found)
    return failures, scores


def _verdict(
    rows: int,
    validated: BatchValidated,
    screened: StageResult[BatchScreened] | None,
    policy: Policy,
) -> tuple[Verdict, list[str]]:
    """The verdict, and in words why the whole batch is held."""
    if validated.broken or screened is None:
        return Verdict.HOLD_BATCH, list(validated.broken)
    said = screened.said
    if said.verdict.holds_batch:
        fired = [f"{test.name}: {test.detail}" for test in said.tests if test.fired]
        return said.verdict, [said.note or "; ".join(fired)]
    held = validated.failing_rows + said.held
    limit = policy.screen.batch.hold_when_held_fraction
    if held and held >= limit * rows:
        return Verdict.HOLD_BATCH, [
            f"{held} of {rows} records are held ({validated.failing_rows} by the contract, "
            f"{said.held} by screening); screen.batch.hold_when_held_fraction is {limit:g}"
        ]
    return (Verdict.HOLD_RECORDS if held else Verdict.PASS), []


def _commit(workspace: Workspace, event: BatchJudged, key: str, policy: Policy) -> Judgement:
    """Verdict, case, index of held records and ledger entry in one transaction, once per key."""
    batch = event.batch
    with workspace.catalog.transaction() as connection:
        before = find_result(connection, batch, "gate", BatchJudged, key)
        if before is not None:
            return _judgement(before)
        _set_aside(connection, batch)
        written = append(connection, event, actor=workspace.actor)
        open_gate_case(connection, workspace, event, written)
        connection.execute(
            tables.batch.update().where(tables.batch.c.id == batch).values(**judged_columns(event))
        )
        insert_result(connection, batch, "gate", key, policy, written)
    return _judgement(StageResult(batch, "gate", written.seq, event))


def judged_columns(event: BatchJudged) -> dict[str, object]:
    """The catalog's columns of a judged batch, by what the ledger says."""
    return {
        "verdict": event.verdict.value,
        "held": event.held,
        "cleared": event.cleared,
        "case_id": event.case,
    }


def _set_aside(connection: Connection, batch: str) -> None:
    """Replaces an earlier judgement (another policy or reference) that nobody has acted on yet."""
    last = newest(connection, f"batch:{batch}", [BatchJudged.kind])
    if last is None or not isinstance(last.event, BatchJudged):
        return
    admitted = sa.exists().where(tables.admission.c.batch == batch)
    decided = sa.exists().where(tables.decision.c.case_id == last.event.case)
    if connection.scalar(sa.select(admitted)) or connection.scalar(sa.select(decided)):
        raise UsageError(
            f"{batch} was judged {last.event.verdict} under another policy or reference, and "
            "admitted or decided on since: what is admitted can be recalled, not judged again"
        )
    connection.execute(
        tables.case.update().where(tables.case.c.id == last.event.case).values(state="SUPERSEDED")
    )


def _judgement(result: StageResult[BatchJudged]) -> Judgement:
    said = result.said
    return Judgement(
        batch=said.batch,
        verdict=said.verdict,
        rows=said.rows,
        held=said.held,
        cleared=said.cleared,
        case=said.case,
        reasons=dict(said.reasons),
        notes=list(said.notes),
        seq=result.seq,
    )
