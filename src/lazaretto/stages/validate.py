"""Validate: check every record against the contract; keep each failure and its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.ledger.events import BatchValidated
from lazaretto.received import find_batch, on_record, open_stored
from lazaretto.stages.results import (
    Reading,
    StageResult,
    record_result,
    stage_key,
)
from lazaretto.storage.sidecars import write_table

if TYPE_CHECKING:
    from lazaretto.policy import Policy
    from lazaretto.storage.workspace import Workspace


def validate(workspace: Workspace, batch: str, policy: Policy) -> StageResult[BatchValidated]:
    """Evaluates the policy's contract on a batch, and the built-in rules on ids and vectors.

    Args:
        workspace: catalog and store.
        batch: id of a received batch.
        policy: names the contract and the columns.

    Returns:
        What the batch was judged by, where a judgement stands. Its event says how many records
        fail, by which rules, and what is wrong with the batch as a whole (``broken``; the gate then
        holds all of it). The file has one row per failing record and rule.

    Raises:
        NotFoundError: no such batch.
        UsageError: the contract cannot be loaded.
        ChangedFileError: the batch's stored copy is gone or was changed.

    Examples:
        >>> from lazaretto import stages
        >>> batch = stages.receive(workspace, "wednesday.parquet", "vendor", policy=policy).id
        >>> validate(workspace, batch, policy).event.failing_rows
        0
    """
    from lazaretto.contract import contract_of, evaluate
    from lazaretto.stages.known import known_of

    contract = contract_of(policy)
    with workspace.catalog.read() as connection:
        received = find_batch(connection, batch)
        reading = Reading.of(connection, batch, policy, contract.digest if contract else None)
        reads = reading.reads("validate")
        before = reading.settled(connection, "validate", BatchValidated)
    if before is not None:
        return before
    with on_record(workspace, batch, "validate"):
        known, of_them = known_of(workspace, received, policy, contract)
        inputs = stage_key(reads=reads, batch=received.digest, **of_them)
        with workspace.catalog.read() as connection:
            before = reading.find(connection, "validate", BatchValidated, inputs)
        if before is not None:
            return before
        report = evaluate(
            open_stored(workspace, received),
            contract,
            policy.columns,
            most_bytes=policy.limits.memory_bytes,
            known=known,
        )
    failures = write_table(
        workspace.store, f"batches/{batch}/findings-{{sha256}}.parquet", report.failures
    )
    flags = None
    if report.flags.num_rows:
        flags = write_table(
            workspace.store, f"batches/{batch}/flags-{{sha256}}.parquet", report.flags
        )
    event = BatchValidated(
        batch=batch,
        policy=reading.ref,
        contract=None if contract is None else contract.name,
        rows=report.rows,
        failing_rows=report.failing_rows,
        rules=report.rules,
        broken=report.broken,
        failures=failures,
        inputs=inputs,
        reads=reads,
        flagged_rows=report.flagged_rows,
        flags=flags,
    )
    return record_result(workspace, reading, "validate", event)
