"""Validate: check every record against the contract; keep each failure and its reason."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from lazaretto.ledger.events import BatchValidated
from lazaretto.received import find_batch, on_record, open_stored
from lazaretto.stages.clean import Earlier, clean, keep, up_to_date
from lazaretto.stages.results import (
    Reading,
    StageResult,
    record_result,
    stage_key,
)
from lazaretto.stages.spread_contract import checked
from lazaretto.stages.width import Wanted, other_width, wanted_width
from lazaretto.storage.sidecars import write_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.engine import Connection

    from lazaretto.cleaning import CleaningReport
    from lazaretto.contract import ContractReport
    from lazaretto.dataset.record_index import Indexed
    from lazaretto.policy import Policy
    from lazaretto.received import Received
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import Cleaned


def validate(workspace: Workspace, batch: str, policy: Policy) -> StageResult[BatchValidated]:
    """Evaluates the policy's contract on a batch, and the built-in rules on ids and vectors.

    Where the policy has a section on cleaning, the batch is cleaned first: what cleaning mends is
    what the contract sees, and what it holds or drops counts as failing.

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
    from lazaretto.contract import Known, contract_of
    from lazaretto.stages.known import asks_catalog, known_of

    contract = contract_of(policy)
    alone = policy.cleaning is None and not asks_catalog(contract)
    with on_record(workspace, batch, "validate"):
        with workspace.catalog.read() as connection:
            reading = Reading.of(connection, batch, policy, contract.digest if contract else None)
            received = find_batch(connection, batch)
            before = reading.settled(connection, "validate", BatchValidated)
            if before is not None:
                return before
            known = Known(received.received_at)
            view = _look(connection, workspace, reading, received) if alone else None
        if view is None:
            known, of_them = known_of(workspace, received, policy, contract)
            indexed = up_to_date(workspace, policy)
            with workspace.catalog.read() as connection:
                view = _look(connection, workspace, reading, received, indexed, of_them)
        if view.before is not None:
            return view.before
        data = open_stored(workspace, received)
        cleaned = clean(workspace, received, data, policy, view.earlier)
        if cleaned is not None and cleaned.fixes.num_rows:
            data = data.fixed(cleaned.fixes)
        report = checked(workspace, received, data, policy, contract, known, cleaned)
        wanted = view.wanted
        odd = None if wanted is None else other_width(report.width, policy, wanted)
        if odd is not None:
            report = replace(report, broken=[*report.broken, odd])
    kept = None
    if cleaned is not None:
        failing = np.unique(report.failures["position"].to_numpy()).astype(np.int64)
        kept = keep(workspace, batch, cleaned, failing, view.earlier)
        report = _together(report, cleaned)
    named = None if contract is None else contract.name
    return record_report(
        workspace, reading, report, contract=named, inputs=view.inputs, cleaned=kept
    )


@dataclass(frozen=True, slots=True)
class _View:
    """What the catalog says of what a batch is compared with, and whether it was validated so."""

    earlier: Earlier
    wanted: Wanted | None
    inputs: str
    before: StageResult[BatchValidated] | None


def _look(
    connection: Connection,
    workspace: Workspace,
    reading: Reading,
    received: Received,
    indexed: Indexed | None = None,
    known: Mapping[str, object] | None = None,
) -> _View:
    policy = reading.policy
    earlier = Earlier.of(connection, received, policy, indexed)
    compared = {} if policy.cleaning is None else {"earlier": earlier.key}
    wanted = wanted_width(connection, workspace, policy)
    width = {} if wanted is None else {"width": wanted.width}
    reads = reading.reads("validate")
    inputs = stage_key(reads=reads, batch=received.digest, **known or {}, **compared, **width)
    before = reading.find(connection, "validate", BatchValidated, inputs)
    return _View(earlier, wanted, inputs, before)


def record_report(
    workspace: Workspace,
    reading: Reading,
    report: ContractReport,
    *,
    contract: str | None,
    inputs: str,
    cleaned: Cleaned | None = None,
) -> StageResult[BatchValidated]:
    """Puts what was found on record, once for the same inputs.

    Args:
        workspace: catalog and store.
        reading: of the batch, under the policy.
        report: what was found.
        contract: by which contract, in words.
        inputs: sha256 (hex) of everything that it depends on.
        cleaned: what cleaning kept beside it.
    """
    batch = reading.batch
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
        contract=contract,
        rows=report.rows,
        failing_rows=report.failing_rows,
        rules=report.rules,
        broken=report.broken,
        failures=failures,
        inputs=inputs,
        reads=reading.reads("validate"),
        flagged_rows=report.flagged_rows,
        flags=flags,
        cleaned=cleaned,
        named=report.named,
    )
    return record_result(workspace, reading, "validate", event)


def _together(report: ContractReport, cleaned: CleaningReport) -> ContractReport:
    """What contract and cleaning found, as one: failing is what either holds or drops."""
    stopped = cleaned.stopped.select(report.failures.schema.names)
    both = pa.concat_tables([report.failures, stopped])
    flagged = cleaned.flagged.select(report.flags.schema.names)
    flags = pa.concat_tables([report.flags, flagged]).group_by(flagged.schema.names)
    return replace(
        report,
        flags=flags.aggregate([]).sort_by([("position", "ascending"), ("rule", "ascending")]),
        failures=both.sort_by([("position", "ascending")]),
        rules=[*report.rules, *cleaned.rules],
        broken=[*report.broken, *cleaned.broken],
    )
