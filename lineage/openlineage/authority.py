"""From the ledger to OpenLineage: which policy is in force, and what it did not let happen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.lineage.openlineage import datasets, naming
from lazaretto.lineage.openlineage.facts import Context, Facts, decision
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from lazaretto.ledger import events


def policy_registered(event: events.PolicyRegistered, context: Context) -> Facts:
    """Somebody put a policy in force for a dataset."""
    return Facts(
        naming.job("policy", event.dataset),
        "DECISION",
        run_facets=decision(
            context,
            "REGISTERED",
            [event.dataset],
            actor=context.actor,
            policy=event.policy,
            reason=event.reason,
        ),
    )


def judgement_set_aside(event: events.JudgementSetAside, context: Context) -> Facts:
    """A person took a judgement back: the batch is to be judged again."""
    return Facts(
        naming.job("gate", naming.source_of(event.batch)),
        "GATE",
        inputs=[datasets.batch(context.store_root, event.batch)],
        run_facets=decision(
            context,
            "SET_ASIDE",
            [event.batch],
            actor=context.actor,
            reason=excerpt(event.reason, datasets.MAX_TEXT),
            case=event.case,
        ),
    )


def shadow_judged(event: events.ShadowJudged, context: Context) -> Facts:
    """A policy that is not in force was tried on a batch: nothing was written."""
    return Facts(
        naming.job("gate", naming.source_of(event.batch)),
        "GATE",
        inputs=[datasets.batch(context.store_root, event.batch, rows=event.rows)],
        run_facets=decision(
            context,
            "JUDGED_IN_SHADOW",
            [event.batch],
            policy=event.policy,
            reason="not the policy in force: nothing is held or admitted by it",
            records={"total": event.rows, "quarantined": event.held},
            verdict=event.verdict,
        ),
    )


def admission_refused(event: events.AdmissionRefused, context: Context) -> Facts:
    """Judged records may not enter a dataset: a failed run that wrote nothing."""
    told = excerpt(f"{event.code}: {event.reason}", datasets.MAX_TEXT)
    return Facts(
        naming.job("admit", event.dataset, naming.source_of(event.batch)),
        "ADMIT",
        inputs=[datasets.batch(context.store_root, event.batch)],
        run_facets=decision(
            context, "REFUSED", [event.batch], actor=context.actor, reason=told, case=event.case
        ),
        failure=told,
    )
