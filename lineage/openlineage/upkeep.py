"""From the ledger to OpenLineage: what was done to the ledger and the catalog themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.lineage.openlineage import datasets, naming
from lazaretto.lineage.openlineage.facts import Context, Facts, decision

if TYPE_CHECKING:
    from lazaretto.ledger import events


def catalog_rebuilt(event: events.CatalogRebuilt, context: Context) -> Facts:
    """Rows of the catalog were made what the ledger says."""
    counted = {name: sum(rows.values()) for name, rows in event.rows.items()}
    reason = ", ".join(f"{name}: {rows} rows" for name, rows in sorted(counted.items()))
    return Facts(
        naming.job("rebuild"),
        "REBUILD",
        run_facets=decision(context, "REBUILT", ["catalog"], actor=context.actor, reason=reason),
    )


def checkpoint_taken(event: events.CheckpointTaken, context: Context) -> Facts:
    """Somebody signed the ledger as it was."""
    return Facts(
        naming.job("checkpoint"),
        "CHECKPOINT",
        run_facets=decision(
            context,
            "SIGNED",
            [event.origin],
            actor=context.actor,
            reason=f"{event.size} entries, root {event.root}, key {event.verifier_key}",
        ),
    )


def dataset_set_back(event: events.DatasetSetBack, context: Context) -> Facts:
    """The table of a dataset was made what the ledger says; what it had besides is kept aside."""
    return Facts(
        naming.job("reconcile", event.dataset),
        "RECONCILE",
        run_facets=decision(
            context,
            "SET_BACK",
            [event.dataset],
            actor=context.actor,
            reason=f"from version {event.found} to {event.version}: {event.problem}",
        ),
    )


def dataset_pruned(event: events.DatasetPruned, context: Context) -> Facts:
    """Retention deleted data files of versions that no snapshot was taken of."""
    return Facts(
        naming.job("maintain", event.dataset),
        "MAINTAIN",
        run_facets=decision(
            context,
            "PURGED",
            [event.dataset],
            actor=context.actor,
            policy=event.policy,
            reason=f"{len(event.files)} data files that left more than {event.days} days ago",
        ),
    )


def payload_deleted(event: events.PayloadDeleted, context: Context) -> Facts:
    """Retention deleted records of a batch; its version stays what it was."""
    whose = "what was delivered" if event.case is None else f"the held rows of {event.case}"
    return Facts(
        naming.job("prune", naming.source_of(event.batch)),
        "PRUNE",
        inputs=[datasets.batch(context.store_root, event.batch)],
        run_facets=decision(
            context,
            "PURGED",
            [event.batch],
            actor=context.actor,
            policy=event.policies[0],
            reason=f"{whose}: {event.days} days after {event.since:%Y-%m-%d}, "
            f"{len(event.files)} files",
            case=event.case,
        ),
    )
