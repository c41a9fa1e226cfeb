"""Screen: judge a batch's vectors against the trusted reference, and keep every record's score."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.errors import UsageError
from lazaretto.events import BatchScreened
from lazaretto.quarantine.references import load_reference
from lazaretto.quarantine.sidecars import read_table, write_table
from lazaretto.stages.embed import require_validated, skipped
from lazaretto.stages.state import (
    StageResult,
    batch_row,
    find_result,
    latest_result,
    open_stored,
    record_result,
    stage_key,
)

if TYPE_CHECKING:
    from lazaretto.policy import Policy
    from lazaretto.workspace import Workspace


def screen(workspace: Workspace, batch: str, policy: Policy) -> StageResult:
    """Screens the records that the contract did not fail.

    A batch whose contract is broken as a whole is not screened: the gate holds it anyway.

    Args:
        workspace: catalog and store.
        batch: id of a validated (and, unless it brings its vectors, embedded) batch.
        policy: names the reference, the detectors and the rate.

    Returns:
        ``summary``: ``verdict``, ``rows``, ``held``, ``power``, ``note``, ``fired`` (batch tests in
        words), or ``skipped`` with the reason. ``uri``: the scores, one row per screened record.

    Raises:
        NotFoundError: no such batch, or no such reference.
        ReferenceMismatchError: batch or policy does not fit the reference.
        UsageError: the batch is not validated, or not embedded, under this policy.
    """
    from lazaretto.screen import screen as screen_records

    row = batch_row(workspace, batch)
    validated = require_validated(workspace, batch, policy)
    if validated.summary["broken"]:
        return skipped("screen", validated)
    reference = load_reference(workspace, policy.screen.reference or policy.dataset)
    embedded = latest_result(workspace, batch, "embed", policy)
    if embedded is None and policy.embed.encoder != "column":
        raise UsageError(f"{batch} is not embedded under this policy: run `embed` first")
    key = stage_key(
        policy=policy.sha256,
        batch=row.digest,
        reference=reference.digest,
        findings=validated.digest,
        embeddings=embedded.digest if embedded else None,
    )
    with workspace.catalog.read() as connection:
        before = find_result(connection, batch, "screen", key)
    if before is not None:
        return before
    failures = read_table(workspace.store, str(validated.uri), columns=["record_id"])
    vectors = None
    if policy.embed.encoder != "column" and embedded is not None:
        vectors = read_table(workspace.store, str(embedded.uri))
    screening = screen_records(
        open_stored(row, policy),
        reference,
        policy,
        exclude=set(failures["record_id"].to_pylist()),
        embeddings=vectors,
    )
    uri, digest = write_table(
        workspace.store, f"batches/{batch}/scores-{key[:16]}.parquet", screening.records
    )
    event = BatchScreened(
        batch=batch,
        policy=policy.ref(),
        reference=reference.name,
        reference_version=str(reference.version),
        reference_digest=reference.digest,
        verdict=screening.verdict,
        rows=screening.records.num_rows,
        held=screening.n_held,
        false_quarantine_rate=policy.screen.false_quarantine_rate,
        power=screening.power,
        detectors=screening.detectors,
        tests=screening.tests,
        scores_uri=uri,
        scores_digest=digest,
        note=screening.note,
    )
    summary = {
        "verdict": screening.verdict.value,
        "rows": screening.records.num_rows,
        "held": screening.n_held,
        "power": screening.power,
        "note": screening.note,
        "fired": [f"{test.name}: {test.detail}" for test in screening.tests if test.fired],
    }
    result = StageResult(batch, "screen", 0, summary, uri, digest)
    return record_result(workspace, result, key, policy, event)
