"""What screening reports beside its verdict: the source over time, drift, and triage."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp
from typing import TYPE_CHECKING

from lazaretto.drift.faults import told
from lazaretto.drift.source import SOURCE_DRIFT, WAYS, shown_evidence
from lazaretto.stats.martingale import SMALL, BatchFacts, batch_p_value
from lazaretto.storage.sidecars import write_table
from lazaretto.text import cut
from lazaretto.values import (
    REPORTED_ONLY,
    BatchEvidence,
    ColumnMove,
    DriftSummary,
    TestSummary,
    TriageSummary,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from lazaretto.drift import ColumnDrift, Measured, Profile, Sample
    from lazaretto.drift.faults import Fault
    from lazaretto.drift.source import Evidence
    from lazaretto.policy import Policy
    from lazaretto.reference import Reference
    from lazaretto.screen import Screening
    from lazaretto.storage.workspace import Workspace

PIPELINE_FAULT = "pipeline_fault"
WORST_TOLD = 10
FAULTS_TOLD = 3
_OF_PARTS = ("broad_excess", "neighbourhood", "group_excess", "class_excess", "apart_excess")
"""Tests before anything is held, most of them of parts of a batch: Holm's adjustment of the others
does not know their p-values."""
_OVER_BATCHES = "source_neighbourhood"
"""Told apart: looks at several batches depend on each other, so no e-process may multiply them."""
EVIDENCE_TOLD = 8
_LONGEST_NAME = 120
_LONGEST_TEXT = 300
_LONGEST_LABEL = 80


@dataclass(frozen=True, slots=True)
class Watched:
    """What is told beside the verdict.

    Attributes:
        p_value: of the batch, for the source's e-process; None where nothing was tested.
        facts: what later batches need to know of this one; None where it is off.
        source: the e-process as a test; None where it is off, or where nothing was tested.
        evidence: what the source's batches tell together, this one included; None where it is off.
        drift: how many columns moved, and which most; None where it was not measured.
        triage: what most likely happened to the batch; None where it is off.
        fault: signatures of faults as a test; None where none was found, or nobody looked.
    """

    p_value: float | None
    facts: BatchEvidence | None
    source: TestSummary | None
    evidence: Evidence | None
    drift: DriftSummary | None
    triage: TriageSummary | None
    fault: TestSummary | None = None


def watch(
    workspace: Workspace,
    screening: Screening,
    *,
    policy: Policy,
    reference: Reference,
    past: Evidence,
    profile: Profile | None,
    sample: Sample | None,
    embeddings: pa.Table | None,
    path: str,
    deployed: str | None = None,
) -> Watched:
    """Measures drift, folds the source's past, and triages the batch.

    Args:
        workspace: catalog and store.
        screening: what screening found in the batch.
        policy: ``screen.drift`` says how.
        reference: that they were screened against.
        past: what the source's earlier batches tell together, as `evidence_before` gives it.
        profile: what drift from it is measured by; None where it was saved without.
        sample: of the batch, as `Profile.sample` says; None without a profile.
        embeddings: vectors of the sample, for another encoder than ``column``.
        path: in the store, of the side-car with the drift of every column.
        deployed: what of the code changed since the source's batch before; None: nothing known.
    """
    config = policy.screen.drift
    if config.mode == "off":
        return Watched(None, None, None, None, None, None)
    facts = facts_of(screening, policy)
    p_value = batch_p_value(facts, past.past, reference.calibration_rows)
    measured = drift = None
    if profile is not None and sample is not None:
        measured = profile.measure(
            sample,
            policy,
            embeddings=embeddings,
            state=reference.encoder_state,
            level=config.alpha if config.faults != "off" else None,
        )
        drift = _summary(workspace, measured, config.level, path)
    triaged = _triage(screening, measured, past.moved, config.level, deployed)
    share = None if drift is None else drift.share
    together = past.after(p_value, facts, share)
    return Watched(
        p_value=p_value,
        facts=BatchEvidence(
            facts.tests,
            facts.small,
            facts.scored,
            list(facts.odd),
            list(facts.known),
            facts.local,
            facts.together,
        ),
        source=None if p_value is None else _as_test(together, policy, reference.classes),
        evidence=together,
        drift=drift,
        triage=triaged,
        fault=None if measured is None else _fault(measured.faults, policy),
    )


def facts_of(screening: Screening, policy: Policy) -> BatchFacts:
    """What a batch tells of its source.

    Of the batch tests only the enforced ones count, and detectors only where any is enforced: what
    may not hold a batch may not hold it by way of its source either.
    """
    modes = policy.screen.test_modes
    tested = [
        test.p_value
        for test in screening.tests
        if test.p_value is not None
        and modes.get(test.name) == "enforce"
        and test.name not in _OF_PARTS
        # Over a pool it tells of the batches before again, which have told it themselves.
        and (screening.pool is None or test.name != "small_p_values")
    ]
    if not policy.screen.decides:
        return BatchFacts(min(tested, default=None), 0, 0)
    p_values = screening.records["p_value"].drop_null().to_numpy()
    small = int((p_values <= SMALL + 1e-12).sum())
    odd, known = screening.odd
    parts = [
        test.p_value
        for test in screening.tests
        if test.p_value is not None
        and test.name in _OF_PARTS
        and not test.detail.endswith(REPORTED_ONLY)
    ]
    local = min(1.0, len(parts) * min(parts)) if parts else None
    together = [
        test.p_value
        for test in screening.tests
        if test.name == _OVER_BATCHES and not test.detail.endswith(REPORTED_ONLY)
    ]
    return BatchFacts(
        min(tested, default=None),
        small,
        len(p_values),
        tuple(odd),
        tuple(known),
        local,
        together[0] if together else None,
    )


def folded(before: Evidence, facts: BatchFacts, calibration_rows: int) -> Evidence:
    """The evidence after one more batch, where no columns were compared.

    Args:
        before: what the batches before tell together.
        facts: of the batch.
        calibration_rows: of the reference.
    """
    return before.after(batch_p_value(facts, before.past, calibration_rows), facts, None)


def _as_test(evidence: Evidence, policy: Policy, classes: Sequence[str]) -> TestSummary:
    """The evidence as a test: ``1 / evidence`` of the e-process is a p-value at any time."""
    config, process, slow = policy.screen.drift, evidence.process, evidence.slow
    p_value = min(1.0, WAYS * min(exp(-process.log_value), evidence.added_up))
    batches = "1 batch" if process.batches == 1 else f"{process.batches} batches"
    detail = (
        f"Drift evidence for this source: {shown_evidence(process):.2g} after {batches} "
        f"(alarm at {WAYS / config.alpha:g})."
    )
    looks, level = evidence.looks, config.alpha / (2 * WAYS)
    if looks.p_value <= level:
        detail += (
            " Odd records of several of its batches lie together where no trusted ones do "
            f"(p = {looks.p_value:.2g} after {looks.count} looks)."
        )
    if slow.p_value <= level:
        of = ""
        if slow.name:
            name = cut(slow.name, _LONGEST_LABEL)
            of = f" labelled {name!r}" if slow.name in classes else f" of {name}"
        detail += (
            f" Over its batches, {slow.count} records{of} had p <= {slow.level:g}; by trusted "
            f"records, {slow.expected:.0f} are expected (p = {slow.p_value:.2g})."
        )
    if config.mode != "enforce":
        detail += f" {REPORTED_ONLY}"
    return TestSummary(SOURCE_DRIFT, p_value, config.alpha, evidence.raises(config.alpha), detail)


def _fault(faults: Sequence[Fault], policy: Policy) -> TestSummary | None:
    """Signatures of faults as a test; their p-values are adjusted for all that was looked for."""
    if not faults:
        return None
    config = policy.screen.drift
    detail = "; ".join(cut(told(one), _LONGEST_TEXT) for one in faults[:FAULTS_TOLD])
    if config.faults != "enforce":
        detail += f". {REPORTED_ONLY}"
    p_value = min(one.p_value for one in faults)
    return TestSummary(PIPELINE_FAULT, p_value, config.alpha, True, detail)


def _summary(workspace: Workspace, measured: Measured, level: float, path: str) -> DriftSummary:
    table = write_table(workspace.store, path, _table(measured.columns))
    worst = sorted(measured.columns, key=lambda d: (not d.moved(level), -max(d.psi, d.nulls)))
    return DriftSummary(
        rows=measured.rows,
        columns=len(measured.columns),
        moved=sum(d.moved(level) for d in measured.columns),
        unknown=measured.unknown,
        level=level,
        worst=[
            ColumnMove(
                cut(d.column, _LONGEST_NAME), d.kind, d.psi, d.ks, d.adjusted, d.band, d.nulls
            )
            for d in worst[:WORST_TOLD]
        ],
        golden_mismatch=measured.golden_mismatch,
        table=table,
    )


def _triage(
    screening: Screening,
    measured: Measured | None,
    previous: Sequence[float],
    level: float,
    deployed: str | None,
) -> TriageSummary:
    from lazaretto.drift.triage import triage

    triaged = triage(
        screening,
        [] if measured is None else measured.columns,
        previous=previous,
        golden_mismatch=None if measured is None else measured.golden_mismatch,
        faults=() if measured is None else measured.faults,
        deployed=deployed,
        level=level,
    )
    return TriageSummary(
        category=triaged.category.value,
        scores={key.value: round(score, 3) for key, score in triaged.scores.items()},
        evidence=[cut(text, _LONGEST_TEXT) for text in triaged.evidence[:EVIDENCE_TOLD]],
    )


def _table(columns: list[ColumnDrift]) -> pa.Table:
    import pyarrow as pa

    names = [
        ("column", pa.string()),
        ("kind", pa.string()),
        ("psi", pa.float64()),
        ("kl", pa.float64()),
        ("js", pa.float64()),
        ("ks", pa.float64()),
        ("p_value", pa.float64()),
        ("adjusted", pa.float64()),
        ("band", pa.string()),
        ("nulls", pa.float64()),
        ("kl_band", pa.string()),
        ("nulls_adjusted", pa.float64()),
    ]
    rows = [{name: getattr(drift, name) for name, _ in names} for drift in columns]
    return pa.Table.from_pylist(rows, schema=pa.schema(names))
