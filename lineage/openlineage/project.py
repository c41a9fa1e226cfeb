"""The projection from a ledger entry to OpenLineage: the same entry gives the same events."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    error_message_run,
    job_type_job,
    parent_run,
    processing_engine_run,
)

from lazaretto.errors import LedgerError
from lazaretto.ledger import events
from lazaretto.lineage.openlineage import authority as _authority
from lazaretto.lineage.openlineage import deliveries as _deliveries
from lazaretto.lineage.openlineage import incidents as _incidents
from lazaretto.lineage.openlineage import model_gate as _model_gate
from lazaretto.lineage.openlineage import models as _models
from lazaretto.lineage.openlineage import naming
from lazaretto.lineage.openlineage import outcomes as _outcomes
from lazaretto.lineage.openlineage import outside as _outside
from lazaretto.lineage.openlineage import references as _references
from lazaretto.lineage.openlineage import upkeep as _upkeep
from lazaretto.lineage.openlineage import versions as _versions
from lazaretto.lineage.openlineage.facets import LazarettoIntegrityRunFacet
from lazaretto.lineage.openlineage.facts import Context, Facts, nothing_earlier, nothing_known

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from openlineage.client.event_v2 import InputDataset, OutputDataset
    from openlineage.client.facet_v2 import JobFacet, RunFacet

    from lazaretto.ledger.chain import Entry
    from lazaretto.lineage.openlineage.parent import Parent
    from lazaretto.values import DataFile

_PROJECTORS: Mapping[type[events.Event], Callable[[Any, Context], Facts]] = {
    events.SourceRegistered: _deliveries.source_registered,
    events.SourceRenamed: _deliveries.source_renamed,
    events.KeyAdded: _deliveries.key_added,
    events.KeyRevoked: _deliveries.key_revoked,
    events.DeliveryRefused: _deliveries.delivery_refused,
    events.BatchReceived: _deliveries.batch_received,
    events.BatchValidated: _deliveries.batch_validated,
    events.BatchEmbedded: _deliveries.batch_embedded,
    events.BatchScreened: _deliveries.batch_screened,
    events.ReferenceSaved: _references.reference_saved,
    events.ReferencePromoted: _references.reference_promoted,
    events.PolicyRegistered: _authority.policy_registered,
    events.BatchJudged: _deliveries.batch_judged,
    events.JudgementSetAside: _authority.judgement_set_aside,
    events.ShadowJudged: _authority.shadow_judged,
    events.RecordsDecided: _outcomes.records_decided,
    events.AdmissionRefused: _authority.admission_refused,
    events.BatchAdmitted: _outcomes.batch_admitted,
    events.DatasetGrown: _versions.dataset_grown,
    events.DatasetCompacted: _versions.dataset_compacted,
    events.RecordsRecalled: _versions.records_recalled,
    events.VersionAnnounced: _outcomes.version_announced,
    events.HoldAnnounced: _outcomes.hold_announced,
    events.SnapshotTaken: _versions.snapshot_taken,
    events.TrainingSanitized: _outcomes.training_sanitized,
    events.ViewTaken: _outcomes.view_taken,
    events.ModelRegistered: _models.model_registered,
    events.ModelAliased: _outcomes.model_aliased,
    events.ModelEvaluated: _model_gate.model_evaluated,
    events.PromotionRefused: _model_gate.promotion_refused,
    events.DrillRun: _model_gate.drill_run,
    events.IncidentTraced: _outcomes.incident_traced,
    events.DatasetExported: _outside.dataset_exported,
    events.LineageAliased: _outside.lineage_aliased,
    events.ExternalDeclared: _outside.external_declared,
    events.IncidentOpened: _incidents.incident_opened,
    events.IncidentAssigned: _incidents.incident_event,
    events.IncidentNoted: _incidents.incident_event,
    events.HoldPlaced: _incidents.hold,
    events.HoldLifted: _incidents.hold,
    events.IncidentAnswered: _incidents.incident_answered,
    events.IncidentAnnounced: _incidents.incident_event,
    events.IncidentAction: _incidents.incident_event,
    events.IncidentClosed: _incidents.incident_event,
    events.DatasetChanged: _outcomes.dataset_changed,
    events.StoredFileChanged: _deliveries.stored_file_changed,
    events.CaseClosed: _outcomes.case_closed,
    events.PublicationApproved: _outcomes.publication_approved,
    events.CaseAssigned: _outcomes.case_event,
    events.CaseCommented: _outcomes.case_event,
    events.RevocationOverridden: _outcomes.revocation_overridden,
    events.HeldRecordsRead: _outcomes.case_event,
    events.DatasetSetBack: _upkeep.dataset_set_back,
    events.RowsLost: _versions.rows_lost,
    events.PayloadDeleted: _upkeep.payload_deleted,
    events.DatasetPruned: _upkeep.dataset_pruned,
    events.CatalogRebuilt: _upkeep.catalog_rebuilt,
    events.CheckpointTaken: _upkeep.checkpoint_taken,
}


@dataclass(frozen=True, slots=True)
class Projection:
    """One ledger entry in OpenLineage's terms.

    Attributes:
        namespace: namespace of the job.
        job: name of the job; one per source or dataset, so that its inputs and outputs are stable.
        state: COMPLETE, or FAIL for a refused delivery. OTHER for what adds to the run of an
            earlier entry, such as another input of a model version.
        at: time of the entry.
        began: when the work began that it tells of, where the ledger knows.
        run: run id; the same for the same entry.
        inputs: what was read.
        outputs: what was written; empty when the run failed.
        run_facets: facets of the run.
        job_facets: facets of the job.
    """

    namespace: str
    job: str
    state: RunState
    at: datetime
    began: datetime | None
    run: str
    inputs: list[InputDataset]
    outputs: list[OutputDataset]
    run_facets: dict[str, RunFacet]
    job_facets: dict[str, JobFacet]


def project(
    entry: Entry,
    workspace_namespace: str,
    store_root: str,
    *,
    chain: str | None = None,
    files: Callable[[str, int], Sequence[DataFile] | None] = nothing_known,
    earlier: Callable[[Entry], str | None] = nothing_earlier,
) -> Projection:
    """Projects a ledger entry.

    Args:
        entry: the entry.
        workspace_namespace: OpenLineage namespace of the jobs.
        store_root: root of the store, for the names of its datasets.
        chain: id of the ledger; the namespace by default.
        files: data files of a version of a dataset, by its name, as `files_of` has them from the
            catalog. Without it a version that records left is told as made of the one before, and
            so seems to hold them.
        earlier: id of the run that an entry adds to, as `earlier_of` finds it in the ledger. A
            model version that is registered again is still made by one run: what it learned from,
            too, is told as a further event of that run. Without it there would be a second one.

    Raises:
        LedgerError: an event of a kind that has no projection.

    Examples:
        >>> from lazaretto.ledger.chain import entries
        >>> with workspace.catalog.read() as connection:
        ...     [admitted, _] = entries(connection, kinds=["batch_admitted"])
        >>> project(admitted, "lazaretto", workspace.store.root).job
        'lazaretto.admit.reviews.vendor'
    """
    projector = _PROJECTORS.get(type(entry.event))
    if projector is None:
        raise LedgerError(f"ledger entry {entry.seq}: no OpenLineage projection of {entry.kind!r}")
    before = earlier(entry)
    run = before or naming.run_id(entry)
    context = Context(store_root, run, entry.at, entry.actor, files)
    facts = projector(entry.event, context)
    done = RunState.COMPLETE
    if before is not None:
        facts, done = replace(facts, outputs=[]), RunState.OTHER
    facets = facts.run_facets | {
        "lazaretto_integrity": LazarettoIntegrityRunFacet(
            chainUid=chain or workspace_namespace,
            seq=entry.seq,
            fingerprint=entry.hash,
            prevFingerprint=entry.prev,
        )
    }
    if facts.failure is not None:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(
            message=facts.failure, programmingLanguage="PYTHON"
        )
    return Projection(
        namespace=workspace_namespace,
        job=facts.job,
        state=done if facts.failure is None else RunState.FAIL,
        at=entry.at,
        began=facts.began,
        run=run,
        inputs=facts.inputs,
        outputs=facts.outputs,
        run_facets=facets,
        job_facets={
            "jobType": job_type_job.JobTypeJobFacet(
                processingType="BATCH", integration="LAZARETTO", jobType=facts.job_type
            )
        },
    )


def run_events(
    projection: Projection, parent: Parent | None = None, *, began: datetime | None = None
) -> tuple[RunEvent, ...]:
    """The two events of a run that the specification asks for: START, then COMPLETE or FAIL.

    The second has everything; the first only says that the run began. Where nobody knows when it
    did, both have the time of the entry. What adds to the run of an earlier entry is one event,
    OTHER.

    Args:
        projection: of one entry.
        parent: run that this one is a part of, such as an Airflow task's.
        began: when whoever did the work began it; the ledger's word, where it has one, is better.

    Examples:
        >>> from lazaretto.ledger.chain import entries
        >>> with workspace.catalog.read() as connection:
        ...     [admitted, _] = entries(connection, kinds=["batch_admitted"])
        >>> start, end = run_events(project(admitted, "lazaretto", workspace.store.root))
        >>> start.eventType.name, end.eventType.name
        ('START', 'COMPLETE')
    """
    common: dict[str, RunFacet] = {
        "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
            version=_version(), name="Lazaretto", openlineageAdapterVersion=_version()
        )
    }
    if parent is not None:
        common["parent"] = _parent(parent)
    start = min(projection.began or began or projection.at, projection.at)
    told = _event(
        projection,
        projection.state,
        projection.at,
        projection.run_facets | common,
        projection.inputs,
        projection.outputs,
    )
    if projection.state is RunState.OTHER:
        return (told,)
    return _event(projection, RunState.START, start, common, [], []), told


def _parent(parent: Parent) -> parent_run.ParentRunFacet:
    root = parent.root
    return parent_run.ParentRunFacet(
        run=parent_run.Run(runId=parent.run),
        job=parent_run.Job(namespace=parent.namespace, name=parent.job),
        root=None
        if root is None
        else parent_run.Root(
            run=parent_run.RootRun(runId=root.run),
            job=parent_run.RootJob(namespace=root.namespace, name=root.job),
        ),
    )


def _event(
    projection: Projection,
    state: RunState,
    at: datetime,
    run_facets: dict[str, RunFacet],
    inputs: list[InputDataset],
    outputs: list[OutputDataset],
) -> RunEvent:
    return RunEvent(
        eventType=state,
        eventTime=at.isoformat(),
        run=Run(runId=projection.run, facets=run_facets),
        job=Job(projection.namespace, projection.job, facets=projection.job_facets),
        inputs=inputs,
        outputs=outputs,
        producer=f"urn:lazaretto:release:{_version()}",
    )


def _version() -> str:
    try:
        return version("lazaretto")
    except PackageNotFoundError:  # run from a source tree
        return "0"
