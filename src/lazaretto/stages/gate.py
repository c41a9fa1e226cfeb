"""Gate: merge what contract and screening found into one verdict, and write the quarantine."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.errors import UsageError
from lazaretto.ledger.chain import append
from lazaretto.ledger.events import BatchJudged
from lazaretto.quarantine.held import INDEX_COLUMNS, INDEXED, HoldReasons, write_held
from lazaretto.quarantine.opening import case_id
from lazaretto.stages.results import (
    StageResult,
    find_result,
    latest_result,
    require_validated,
    stage_key,
)
from lazaretto.storage import tables
from lazaretto.storage.batches import batch_row, find_batch, open_stored
from lazaretto.storage.bulk import bulk_insert
from lazaretto.storage.sidecars import read_chunks, read_table
from lazaretto.values import Verdict, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection, Row

    from lazaretto.policy import Policy
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
        held_uri: file with the held rows and their reasons.
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
    held_uri: str | None
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
    """
    row = batch_row(workspace, batch)
    validated = require_validated(workspace, batch, policy)
    screened = None
    if not validated.summary["broken"]:
        screened = latest_result(workspace, batch, "screen", policy)
        if screened is None:
            raise UsageError(f"{batch} is not screened under this policy: run `screen` first")
    key = stage_key(
        policy=policy.sha256,
        failures=validated.digest,
        scores=screened.digest if screened else None,
    )
    with workspace.catalog.read() as connection:
        before = find_result(connection, batch, "gate", key)
    if before is not None:
        return _judgement(before)
    verdict, whole = _verdict(row.rows, validated, screened, policy)
    hold_reasons = HoldReasons(
        failures=read_table(workspace.store, str(validated.uri)),
        scores=read_table(workspace.store, str(screened.uri)) if screened else None,
        whole=whole,
    )
    path = f"held/{batch}/{key[:16]}.parquet"
    held = write_held(workspace.store, path, open_stored(row, policy), policy.columns, hold_reasons)
    suspected = [
        f"{name}: {count} records, the first because: {held.examples[name]}"
        for name, count in held.reasons.items()
        if name.startswith("screen:")
    ]
    notes = whole + list(validated.summary["rules"]) + suspected
    judgement = Judgement(
        batch=batch,
        verdict=verdict,
        rows=row.rows,
        held=held.rows,
        cleared=row.rows - held.rows,
        case=case_id(batch, key) if held.rows else None,
        held_uri=held.uri or None,
        reasons=dict(held.reasons),
        notes=notes,
    )
    return _commit(workspace, judgement, key, policy, held.digest)


def _verdict(
    rows: int, validated: StageResult, screened: StageResult | None, policy: Policy
) -> tuple[Verdict, list[str]]:
    """The verdict, and in words why the whole batch is held."""
    broken = list(validated.summary["broken"])
    if broken or screened is None:
        return Verdict.HOLD_BATCH, broken
    summary = screened.summary
    found = Verdict(summary["verdict"])
    if found.holds_batch:
        return found, [summary["note"] or "; ".join(summary["fired"])]
    held = validated.summary["failing"] + summary["held"]
    limit = policy.screen.batch.hold_when_held_fraction
    if held and held >= limit * rows:
        return Verdict.HOLD_BATCH, [
            f"{held} of {rows} records are held ({validated.summary['failing']} by the contract, "
            f"{summary['held']} by screening); screen.batch.hold_when_held_fraction is {limit:g}"
        ]
    return (Verdict.HOLD_RECORDS if held else Verdict.PASS), []


def _commit(
    workspace: Workspace, judgement: Judgement, key: str, policy: Policy, held_digest: str
) -> Judgement:
    """The commit point: verdict, case, index of held records and ledger entry, or nothing."""
    batch = judgement.batch
    with workspace.catalog.transaction() as connection:
        before = find_result(connection, batch, "gate", key)
        if before is not None:
            return _judgement(before)
        _set_aside(connection, find_batch(connection, batch))
        seq = append(connection, _event(judgement, policy, held_digest))
        if judgement.case is not None and judgement.held_uri is not None:
            opened = _case(judgement, policy, seq)
            connection.execute(tables.case.insert().values(opened))
            rows = _index(workspace, judgement.case, judgement.held_uri)
            bulk_insert(connection, tables.held_record, INDEXED, rows)
        connection.execute(
            tables.batch.update()
            .where(tables.batch.c.id == batch)
            .values(
                verdict=judgement.verdict.value,
                held=judgement.held,
                cleared=judgement.cleared,
                case_id=judgement.case,
            )
        )
        under = {
            "policy": policy.sha256,
            "policy_ref": to_json(policy.ref()),
            "columns": policy.columns.model_dump(),
        }
        connection.execute(
            tables.stage.insert().values(
                batch=batch,
                name="gate",
                key=key,
                uri=judgement.held_uri,
                digest=held_digest or None,
                summary=to_json(judgement) | under,
                at=datetime.now(UTC),
                seq=seq,
            )
        )
    return replace(judgement, seq=seq)


def _event(judgement: Judgement, policy: Policy, held_digest: str) -> BatchJudged:
    return BatchJudged(
        batch=judgement.batch,
        policy=policy.ref(),
        verdict=judgement.verdict,
        rows=judgement.rows,
        held=judgement.held,
        cleared=judgement.cleared,
        case=judgement.case,
        held_uri=judgement.held_uri,
        held_digest=held_digest or None,
        reasons=judgement.reasons,
    )


def _case(judgement: Judgement, policy: Policy, seq: int) -> dict[str, Any]:
    return {
        "id": judgement.case,
        "batch": judgement.batch,
        "dataset": policy.dataset,
        "origin": "gate",
        "verdict": judgement.verdict.value,
        "policy": to_json(policy.ref()),
        "columns": policy.columns.model_dump(),
        "two_people": policy.review.require_two_people,
        "rows": judgement.rows,
        "held": judgement.held,
        "reasons": judgement.reasons,
        "notes": judgement.notes,
        "held_uri": judgement.held_uri,
        "state": "OPEN",
        "opened_at": datetime.now(UTC),
        "seq": seq,
    }


def _set_aside(connection: Connection, row: Row[Any]) -> None:
    """Replaces an earlier judgement (another policy or reference) that nobody has acted on yet."""
    if row.verdict is None:
        return
    admitted = sa.exists().where(tables.admission.c.batch == row.id)
    decided = sa.exists().where(tables.decision.c.case_id == row.case_id)
    if connection.scalar(sa.select(admitted)) or connection.scalar(sa.select(decided)):
        raise UsageError(
            f"{row.id} was judged {row.verdict} under another policy or reference, and admitted or "
            "decided on since: what is admitted can be recalled, not judged again"
        )
    connection.execute(
        tables.case.update().where(tables.case.c.id == row.case_id).values(state="SUPERSEDED")
    )


def _index(workspace: Workspace, case: str, held_uri: str) -> Iterator[tuple[object, ...]]:
    for chunk in read_chunks(workspace.store, held_uri):
        columns = [chunk.column(name).to_pylist() for name in INDEX_COLUMNS]
        for values in zip(*columns, strict=True):
            yield (case, *values)


def _judgement(result: StageResult) -> Judgement:
    stored = {name: result.summary[name] for name in Judgement.__dataclass_fields__}
    stored |= {"verdict": Verdict(stored["verdict"]), "seq": result.seq}
    return Judgement(**stored)
