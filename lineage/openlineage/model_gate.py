"""From the ledger to OpenLineage: evaluations, refused promotions and drills."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.lineage.openlineage import datasets, naming
from lazaretto.lineage.openlineage.facts import Context, Facts, decision
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from lazaretto.ledger import events


def model_evaluated(event: events.ModelEvaluated, context: Context) -> Facts:
    """A model version was measured on a test set."""
    figures = ", ".join(f"{name} {event.figures[name]:.4g}" for name in sorted(event.figures))
    return Facts(
        naming.job("evaluate", event.model),
        "DECISION",
        run_facets=decision(
            context,
            "VALIDATED",
            [f"{event.model}@{event.version}"],
            actor=context.actor,
            reason=excerpt(f"{event.rows} rows: {figures}", datasets.MAX_TEXT),
        ),
    )


def promotion_refused(event: events.PromotionRefused, context: Context) -> Facts:
    """Somebody wanted to put a model version in use, and may not."""
    reasons = "; ".join(f"{one.code}: {one.text}" for one in event.reasons)
    return Facts(
        naming.job("alias", event.model),
        "DECISION",
        run_facets=decision(
            context,
            "REFUSED",
            [f"{event.model}@{event.version}"],
            actor=context.actor,
            reason=excerpt(f"{event.alias}: {reasons}", datasets.MAX_TEXT),
        ),
    )


def drill_run(event: events.DrillRun, context: Context) -> Facts:
    """Attacks were tried on a copy of a batch; no version of any data is of it."""
    told = ", ".join(
        f"{one.name} {'never' if one.smallest is None else format(one.smallest, 'g')}"
        for one in event.attacks
        if not one.why_not
    )
    return Facts(
        naming.job("drill", event.dataset),
        "DECISION",
        run_facets=decision(
            context,
            "JUDGED_IN_SHADOW",
            [event.dataset],
            actor=context.actor,
            policy=event.policy,
            reason=excerpt(f"caught from: {told}", datasets.MAX_TEXT),
        ),
    )
