"""Screen: judge a batch's vectors against the trusted reference, and keep every record's score."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lazaretto.drift.watch import watch
from lazaretto.errors import ReferenceMismatchError, UsageError
from lazaretto.ledger.events import BatchScreened
from lazaretto.registry.profiles import load_profile
from lazaretto.registry.references import find_reference, load_stored
from lazaretto.stages.results import (
    StageResult,
    all_results,
    find_result,
    record_result,
    require_validated,
    skipped,
    stage_key,
)
from lazaretto.storage.batches import batch_row, open_stored
from lazaretto.storage.sidecars import read_table, write_table
from lazaretto.values import Verdict

if TYPE_CHECKING:
    from lazaretto.drift.watch import Watched
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference
    from lazaretto.screen import Screening
    from lazaretto.storage.workspace import Workspace


def screen(workspace: Workspace, batch: str, policy: Policy) -> StageResult:
    """Screens the records that the contract did not fail.

    A batch whose contract is broken as a whole is not screened: the gate holds it anyway.

    Args:
        workspace: catalog and store.
        batch: id of a validated (and, unless it brings its vectors, embedded) batch.
        policy: names the reference, the detectors and the rate.

    Returns:
        ``summary``: ``verdict``, ``rows``, ``held``, ``min_detectable``, ``note``, ``fired`` (batch
        tests in words), ``triage``, ``because`` (an estimate for the reviewer, which decides
        nothing), ``drift``, ``source_evidence``, or ``skipped`` with the reason. ``uri``: the
        scores, one row per screened record.

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
    stored = find_reference(workspace, policy.screen.reference or policy.dataset)
    reference = load_stored(stored)
    embedded = _embedded(workspace, batch, policy, reference)
    if embedded is None and policy.embed.encoder != "column":
        raise UsageError(f"{batch} is not embedded under this policy: run `embed` first")
    key = stage_key(
        policy=policy.sha256,
        batch=row.digest,
        reference=reference.digest,
        failures=validated.digest,
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
    data = open_stored(row, policy)
    screening = screen_records(
        data,
        reference,
        policy,
        exclude=set(failures["record_id"].to_pylist()),
        embeddings=vectors,
    )
    watched = watch(
        workspace,
        row,
        data,
        screening,
        policy=policy,
        reference=reference,
        profile=load_profile(workspace, stored),
        embeddings=vectors,
        path=f"batches/{batch}/drift-{key[:16]}.parquet",
    )
    screening = _with_source(screening, watched, policy)
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
        min_detectable=screening.min_detectable,
        detectors=screening.detectors,
        tests=screening.tests,
        scores_uri=uri,
        scores_digest=digest,
        note=screening.note,
        batch_p_value=watched.p_value,
        evidence=watched.facts,
        drift=watched.drift,
        triage=watched.triage,
    )
    summary = {
        "verdict": screening.verdict.value,
        "rows": screening.records.num_rows,
        "held": screening.n_held,
        "min_detectable": screening.min_detectable,
        "note": screening.note,
        "fired": [f"{test.name}: {test.detail}" for test in screening.tests if test.fired],
        **watched.summary(),
    }
    result = StageResult(batch, "screen", 0, summary, uri, digest)
    return record_result(workspace, result, key, policy, event)


def _with_source(screening: Screening, watched: Watched, policy: Policy) -> Screening:
    """The screening with the source's evidence among its tests; enforced, it holds the batch."""
    test = watched.source
    if test is None:
        return screening
    screening = replace(screening, tests=[*screening.tests, test])
    if not test.fired or policy.screen.drift.mode != "enforce":
        return screening
    verdict, note = screening.verdict, f"{test.name}: {test.detail}"
    return replace(
        screening,
        verdict=verdict if verdict.holds_batch else Verdict.HOLD_BATCH,
        note=f"{screening.note}; {note}" if screening.note else note,
    )


def _embedded(
    workspace: Workspace, batch: str, policy: Policy, reference: Reference
) -> StageResult | None:
    """The newest vectors of a batch that the reference's encoder made.

    The policy alone does not tell: weights that it names by path may have been others when the
    batch was embedded.

    Raises:
        ReferenceMismatchError: there are only vectors of another encoder; it says which differs.
    """
    found = all_results(workspace, batch, "embed", policy)
    for result in found:
        # Side-cars of earlier versions do not say; what is then the policy's encoder is trusted.
        if (
            result.summary.get("encoder_digest", reference.encoder.digest)
            == reference.encoder.digest
        ):
            return result
    if not found:
        return None
    made, fitted = found[0].summary, reference.encoder
    what = "weights or preprocessing" if made["encoder"] == fitted.name else "name"
    raise ReferenceMismatchError(
        f"the vectors of {batch} are of another encoder than reference {reference.name}/"
        f"{reference.version}, by its {what}: {made['encoder']} (digest "
        f"{made['encoder_digest'][:12]}) instead of {fitted.name} ({fitted.digest[:12]}): restore "
        "the encoder and embed the batch again, or fit a new reference"
    )
