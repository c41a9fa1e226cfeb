"""From the ledger to OpenLineage: what was done to the ledger and the catalog themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.lineage.openlineage import naming
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
