"""From the ledger to OpenLineage: what left for elsewhere, and what people say of names there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.lineage.openlineage import datasets, naming
from lazaretto.lineage.openlineage.facts import Context, Facts, decision
from lazaretto.redact import carries_credentials, safe_uri
from lazaretto.text import excerpt

if TYPE_CHECKING:
    from lazaretto.ledger import events


def dataset_exported(event: events.DatasetExported, context: Context) -> Facts:
    """A version was written to a file, in place of whatever was there."""
    return Facts(
        naming.job("export", event.dataset),
        "EXPORT",
        inputs=[
            datasets.read(
                naming.admitted(context.store_root, event.dataset),
                str(event.version),
                type_="TABLE",
                rows=event.rows,
            )
        ],
        outputs=[
            datasets.written(
                naming.dataset_name(event.uri),
                None,
                rows=event.rows,
                facets=datasets.replaced() | datasets.storage("file", "parquet"),
            )
        ],
    )


def lineage_aliased(event: events.LineageAliased, context: Context) -> Facts:
    """Somebody said that two names are of the same dataset, or took that back."""
    return Facts(
        naming.job("alias"),
        "DECISION",
        run_facets=decision(
            context,
            "UNALIASED" if event.withdrawn else "ALIASED",
            [
                _words(event.namespace, event.name),
                _words(event.same_namespace, event.same_name),
            ],
            actor=context.actor,
            reason=excerpt(event.reason, datasets.MAX_TEXT),
        ),
    )


def external_declared(event: events.ExternalDeclared, context: Context) -> Facts:
    """Somebody vouched that a dataset comes from outside, or does so no more."""
    version = "" if event.version is None else f"@{event.version}"
    return Facts(
        naming.job("external"),
        "DECISION",
        run_facets=decision(
            context,
            "EXTERNAL_WITHDRAWN" if event.withdrawn else "EXTERNAL",
            [_words(event.namespace, event.name) + version],
            actor=context.actor,
            reason=excerpt(event.reason, datasets.MAX_TEXT),
        ),
    )


def _words(namespace: str, name: str) -> str:
    shown = safe_uri(namespace) if carries_credentials(namespace) else namespace
    return f"{shown} {name}"
