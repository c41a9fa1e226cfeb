"""From the ledger to OpenLineage: what became of batches. Long: a function for each event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openlineage.client.facet_v2 import nominal_time_run

from lazaretto.lineage.openlineage import datasets, naming
from lazaretto.lineage.openlineage.facts import Context, Facts, decision, tests
from lazaretto.text import excerpt
from lazaretto.values import Action, role_of

if TYPE_CHECKING:
    from openlineage.client.facet_v2 import RunFacet

    from lazaretto.ledger import events

_DECIDED = {
    Action.RELEASE: "RELEASED",
    Action.REJECT: "REJECTED",
    Action.RELABEL: "RELABELLED",
    Action.REWEIGHT: "REWEIGHTED",
}
PURPOSES = ("PRETRAIN", "TRAIN", "FINETUNE", "EVAL")


def purpose_of(event: events.ModelRegistered) -> str:
    """One of `PURPOSES` from free text such as ``FINE_TUNING``; in doubt TRAIN, which taints."""
    return role_of(event.purpose).value


def records_decided(event: events.RecordsDecided, context: Context) -> Facts:
    """A reviewer decided on held records."""
    source = naming.source_of(event.batch)
    detail = [
        f"label {event.label!r}" if event.label is not None else "",
        f"weight {event.weight:g}" if event.weight is not None else "",
        event.reason,
    ]
    counted = {Action.REJECT: "rejected"}.get(event.action, "released")
    return Facts(
        naming.job("decision", source),
        "DECISION",
        inputs=[
            datasets.read(
                naming.held(context.store_root, source),
                event.case,
                source=source,
                rows=event.records,
            )
        ],
        run_facets=decision(
            context,
            "UNDONE" if event.undoes else _DECIDED[event.action],
            [event.batch],
            actor=context.actor,
            reason="; ".join(part for part in detail if part),
            records={"total": event.records} | ({} if event.undoes else {counted: event.records}),
            case=event.case,
            decision_id=event.decision,
            supersedes=event.undoes,
        ),
    )


def publication_approved(event: events.PublicationApproved, context: Context) -> Facts:
    """A second person agreed to what would be published of a case."""
    return Facts(
        naming.job("approve", naming.source_of(event.batch)),
        "DECISION",
        run_facets=decision(
            context,
            "APPROVED",
            [event.batch],
            actor=context.actor,
            reason=event.publication,
            records={"total": event.records},
            case=event.case,
        ),
    )


def batch_admitted(event: events.BatchAdmitted, context: Context) -> Facts:
    """Records of a batch entered the admitted dataset."""
    return Facts(
        naming.job("admit", event.dataset, naming.source_of(event.batch)),
        "ADMIT",
        inputs=[datasets.batch(context.store_root, event.batch, rows=event.rows)],
        outputs=[
            datasets.written(
                naming.admitted(context.store_root, event.dataset),
                str(event.version),
                type_="TABLE",
                rows=event.rows,
                facets=datasets.schema(event.columns) | datasets.storage("delta", "parquet"),
            )
        ]
        if event.rows
        else [],
        run_facets=decision(
            context,
            "ADMITTED",
            [event.batch],
            actor=None if event.case is None else context.actor,
            policy=event.policy,
            case=event.case,
            reason=_how(event),
            records={"total": event.rows, "released": event.rows},
        ),
    )


def _how(event: events.BatchAdmitted) -> str:
    """Which records of a batch enter, and by whom: the facet itself has one actor."""
    if event.case is None:
        return f"{event.part} records of the batch"
    deciders = sorted({release.by for release in event.releases})
    approvers = f", approved by {', '.join(event.approved_by)}" if event.approved_by else ""
    told = f"{event.part}, released by {', '.join(deciders)}{approvers}"
    return excerpt(told, datasets.MAX_TEXT)


def version_announced(event: events.VersionAnnounced, context: Context) -> Facts:
    """Those who train on a dataset were told of a version."""
    return Facts(
        naming.job("announce", event.dataset),
        "DECISION",
        run_facets=decision(
            context,
            "ANNOUNCED",
            [f"{event.dataset}@{event.version}"],
            actor=context.actor,
        ),
    )


def hold_announced(event: events.HoldAnnounced, context: Context) -> Facts:
    """Whoever reviews was told that records of a batch are held."""
    return Facts(
        naming.job("announce_hold", naming.source_of(event.batch)),
        "DECISION",
        run_facets=decision(context, "ANNOUNCED", [event.batch], actor=context.actor),
    )


def dataset_changed(event: events.DatasetChanged, context: Context) -> Facts:
    """A stage met a table that is not the one on record: a failed run that wrote nothing."""
    found = excerpt(
        f"the table of {event.dataset} is not the one on record: {event.problem}", datasets.MAX_TEXT
    )
    return Facts(
        naming.job(event.stage, event.dataset),
        event.stage.upper(),
        run_facets=decision(context, "STOPPED", [event.dataset], actor=context.actor, reason=found),
        failure=found,
    )


def training_sanitized(event: events.TrainingSanitized, context: Context) -> Facts:
    """A training set was examined by the activations of a model trained on it."""
    from lazaretto.values import TestSummary

    version = str(event.version)
    scores = naming.dataset_name(f"{context.store_root}/sanitize/{event.dataset}")
    by_class = [
        TestSummary(
            name=f"class:{excerpt(summary.label, 128)}",
            p_value=summary.p_value,
            alpha=event.false_quarantine_rate,
            fired=summary.fired,
            detail=f"statistic {summary.statistic:g}; {summary.n_held} of {summary.n} held",
        )
        for summary in event.classes[: datasets.MAX_IDS]
    ]
    return Facts(
        naming.job("sanitize", event.dataset),
        "SANITIZE",
        inputs=[
            datasets.read(
                naming.admitted(context.store_root, event.dataset),
                version,
                type_="TABLE",
                rows=event.rows,
            )
        ],
        outputs=[
            datasets.written(
                scores,
                version,
                rows=event.held,
                facets=datasets.artifact("SIDECAR", version, event.scores.sha256),
            )
        ],
        run_facets=decision(
            context,
            "SANITIZED",
            [f"{event.dataset}@{version}", event.model],
            policy=event.policy,
            reason=f"{', '.join(event.methods)} on {', '.join(event.layers)}"
            + ("" if event.calibrated else f"; {event.calibration or 'not calibrated'}"),
            records={"total": event.rows, "quarantined": event.held},
        )
        | tests([], by_class),
    )


def view_taken(event: events.ViewTaken, context: Context) -> Facts:
    """A training view: a snapshot without some of its batches."""
    where = naming.admitted(context.store_root, event.dataset)
    count = datasets.Members(event.batches, [])
    facets = datasets.artifact("SNAPSHOT", event.view, event.digest, rows=event.rows, members=count)
    written = datasets.written(where, event.view, type_="TABLE", rows=event.rows, facets=facets)
    return Facts(
        naming.job("snapshot", event.dataset),
        "SNAPSHOT",
        inputs=[datasets.read(where, str(event.version), type_="TABLE")],
        outputs=[written],
    )


def model_aliased(event: events.ModelAliased, context: Context) -> Facts:
    """A name stands for another version of a model, or for none any more."""
    return Facts(
        naming.job("alias", event.model),
        "DECISION",
        run_facets=decision(
            context,
            "ALIASED" if event.version is not None else "UNALIASED",
            [event.model if event.version is None else f"{event.model}@{event.version}"],
            actor=context.actor,
            reason=excerpt(f"{event.alias}: {event.reason}", datasets.MAX_TEXT),
        ),
    )


def incident_traced(event: events.IncidentTraced, context: Context) -> Facts:
    """Somebody followed a source to the models; the window is the run's nominal time."""
    facets: dict[str, RunFacet] = {}
    if event.since is not None:
        facets["nominalTime"] = nominal_time_run.NominalTimeRunFacet(
            nominalStartTime=event.since.isoformat(),
            nominalEndTime=datasets.iso(event.until),
        )
    reached = f"{len(event.batches)} batches reached {len(event.models)} model versions"
    return Facts(
        naming.job("trace", event.source),
        "TRACE",
        inputs=[
            datasets.read(
                naming.batches(context.store_root, event.source),
                source=event.source,
                partitions=event.batches[: datasets.MAX_PARTITIONS],
            )
        ]
        if event.batches
        else [],
        run_facets=facets
        | decision(
            context,
            "TRACED",
            [event.source, *event.models],
            actor=context.actor,
            reason=reached + ("" if event.complete else "; the answer may be incomplete"),
        ),
    )


def case_closed(event: events.CaseClosed, context: Context) -> Facts:
    """Every record of a case was decided on."""
    return Facts(
        naming.job("close", naming.source_of(event.batch)),
        "CLOSE",
        run_facets=decision(context, "CLOSED", [event.batch], actor=context.actor, case=event.case),
    )


def case_event(
    event: events.CaseAssigned | events.CaseCommented | events.HeldRecordsRead, context: Context
) -> Facts:
    """A case was assigned, remarked on or looked into; remarks and names of people stay here."""
    did = {
        "case_assigned": ("assign", "ASSIGNED"),
        "case_commented": ("comment", "COMMENTED"),
        "held_records_read": ("read_held", "READ"),
    }
    job, outcome = did[event.kind]
    return Facts(
        naming.job(job, naming.source_of(event.batch)),
        "DECISION",
        run_facets=decision(context, outcome, [event.batch], actor=context.actor, case=event.case),
    )


def revocation_overridden(event: events.RevocationOverridden, context: Context) -> Facts:
    """Held records may be released although source or key is revoked."""
    return Facts(
        naming.job("override", naming.source_of(event.batch)),
        "DECISION",
        run_facets=decision(
            context,
            "EXEMPTED",
            [event.batch],
            actor=context.actor,
            case=event.case,
            reason=f"{', '.join(event.codes)}: {event.reason}",
        ),
    )
