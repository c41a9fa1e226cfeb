"""From the ledger to OpenLineage: versions of references, fitted and promoted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.lineage.openlineage import datasets, naming
from lazaretto.lineage.openlineage.facts import Context, Facts, decision

if TYPE_CHECKING:
    from lazaretto.ledger import events


def reference_saved(event: events.ReferenceSaved, context: Context) -> Facts:
    """A version of a reference was fitted and frozen: the next version of its dataset."""
    return Facts(
        naming.job("reference", event.reference),
        "FIT",
        outputs=[
            datasets.written(
                naming.reference(context.store_root, event.reference),
                event.version,
                rows=event.rows,
                facets=datasets.artifact("REFERENCE", event.version, event.digest, rows=event.rows),
            )
        ],
        run_facets=decision(
            context,
            "REGISTERED",
            [f"{event.reference}/{event.version}"],
            actor=context.actor,
            reason=f"reference of {event.rows} rows, encoder {event.encoder}",
        ),
    )


def reference_promoted(event: events.ReferencePromoted, context: Context) -> Facts:
    """A person made a version of a reference the one that batches are judged against."""
    found = "no comparison was made"
    if event.change is not None:
        found = (
            f"on {event.change.batches} past batches: {event.change.verdicts} verdicts change, "
            f"{event.change.no_longer_held} records are no longer held, "
            f"{event.change.newly_held} are newly held"
        )
    return Facts(
        naming.job("promote", event.reference),
        "DECISION",
        inputs=[
            datasets.read(
                naming.reference(context.store_root, event.reference),
                event.version,
            )
        ],
        run_facets=decision(
            context,
            "PROMOTED",
            [f"{event.reference}/{event.version}"],
            actor=context.actor,
            reason=f"instead of {event.previous or 'none'}: {found}",
        ),
    )
