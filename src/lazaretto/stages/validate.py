"""Validate: hold every record of a batch against the contract; keep each failure and its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.ledger.events import BatchValidated
from lazaretto.stages.results import (
    StageResult,
    contract_base,
    find_result,
    record_result,
    stage_key,
)
from lazaretto.storage.batches import batch_row, open_stored
from lazaretto.storage.sidecars import write_table

if TYPE_CHECKING:
    from lazaretto.policy import Policy
    from lazaretto.storage.workspace import Workspace


def validate(workspace: Workspace, batch: str, policy: Policy) -> StageResult:
    """Evaluates the policy's contract on a batch, and the built-in rules on ids and vectors.

    Args:
        workspace: catalog and store.
        batch: id of a received batch.
        policy: names the contract and the columns.

    Returns:
        ``summary``: ``rows``, ``failing`` records, ``broken`` (what is wrong with the batch as a
        whole, in words; the gate then holds all of it), ``rules`` in words with their counts.
        ``uri``: the failures, one row per failing record and rule.

    Raises:
        NotFoundError: no such batch.
        UsageError: the contract cannot be loaded.
    """
    from lazaretto.contract import evaluate, load_contract

    row = batch_row(workspace, batch)
    contract = load_contract(policy.contract, base=contract_base(policy))
    terms = contract.digest if contract is not None else ""
    key = stage_key(policy=policy.sha256, contract=terms, batch=row.digest)
    with workspace.catalog.read() as connection:
        before = find_result(connection, batch, "validate", key)
    if before is not None:
        return before
    report = evaluate(open_stored(row, policy), contract, policy.columns)
    uri, digest = write_table(
        workspace.store, f"batches/{batch}/findings-{key[:16]}.parquet", report.failures
    )
    failing = report.failing_rows
    event = BatchValidated(
        batch=batch,
        policy=policy.ref(),
        contract=str(policy.contract) if policy.contract else None,
        rows=report.rows,
        failing_rows=failing,
        rules=report.rules,
        broken=report.broken,
        failures_uri=uri,
        failures_digest=digest,
    )
    summary = {
        "rows": report.rows,
        "failing": failing,
        "broken": list(report.broken),
        "rules": [f"{rule.text} ({rule.failed} records)" for rule in report.rules if rule.failed],
    }
    result = StageResult(batch, "validate", 0, summary, uri, digest)
    return record_result(workspace, result, key, policy, event)
