"""From the ledger to OpenLineage: sources, deliveries, stages. Long: a function for each event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openlineage.client.facet_v2 import data_quality_assertions_dataset

from lazaretto.lineage.openlineage import datasets, naming
from lazaretto.lineage.openlineage.facets import LazarettoSourceDatasetFacet
from lazaretto.lineage.openlineage.facts import Context, Facts, decision, tests
from lazaretto.text import excerpt
from lazaretto.values import Actor, ActorType, Signature, SignatureStatus

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any

    from openlineage.client.facet_v2 import DatasetFacet, InputDatasetFacet

    from lazaretto.ledger import events

_GATE = Actor(ActorType.SERVICE, "service:lazaretto")


def source_registered(event: events.SourceRegistered, context: Context) -> Facts:
    """A source was added or changed its trust tier."""
    return Facts(
        naming.job("source", event.source),
        "DECISION",
        run_facets=decision(
            context,
            "REGISTERED",
            [event.source],
            actor=context.actor,
            reason=f"trust tier {event.trust_tier.value}",
        ),
    )


def source_renamed(event: events.SourceRenamed, context: Context) -> Facts:
    """A source goes by another name; its jobs and datasets keep theirs."""
    return Facts(
        naming.job("source", event.source),
        "DECISION",
        run_facets=decision(
            context,
            "ALIASED",
            [event.source],
            actor=context.actor,
            reason=f"it goes by {event.name}: {event.reason}",
        ),
    )


def key_added(event: events.KeyAdded, context: Context) -> Facts:
    """A source's public key was pinned."""
    return Facts(
        naming.job("source", event.source),
        "DECISION",
        run_facets=decision(
            context,
            "KEY_ADDED",
            [event.source, event.key_id],
            actor=context.actor,
            reason=f"{event.scheme} key, valid from {event.valid_from.isoformat()}",
        ),
    )


def key_revoked(event: events.KeyRevoked, context: Context) -> Facts:
    """A source's key was revoked: what it had signed since is told of again, as not verified."""
    signature = Signature(SignatureStatus.REVOKED_KEY, event.key_id)
    facets: dict[str, DatasetFacet] = {"lazaretto_source": _source(event.source, signature)}
    return Facts(
        naming.job("source", event.source),
        "DECISION",
        inputs=[
            datasets.read(
                naming.batches(context.store_root, event.source),
                None,
                source=event.source,
                partitions=event.batches[: datasets.MAX_IDS],
                facets=facets,
            )
        ]
        if event.batches
        else [],
        run_facets=decision(
            context,
            "KEY_REVOKED",
            [event.source, event.key_id],
            actor=context.actor,
            reason=f"revoked from {event.revoked_at.isoformat()} on: {event.reason}",
        ),
    )


def delivery_refused(event: events.DeliveryRefused, context: Context) -> Facts:
    """A delivery was turned away: a failed run that wrote nothing."""
    return Facts(
        naming.job("receive", event.source),
        "RECEIVE",
        inputs=[
            datasets.read(
                naming.origin(event.uri),
                source=excerpt(event.source, 255),
                locations=[naming.clean_uri(event.uri)],
                facets={"lazaretto_source": _source(event.source, event.signature)},
            )
        ],
        run_facets=decision(
            context,
            "REFUSED",
            [event.file_digest or naming.clean_uri(event.uri)],
            actor=_GATE,
            reason=f"{event.code}: {event.reason}",
        ),
        failure=excerpt(f"{event.code}: {event.reason}", datasets.MAX_TEXT),
    )


def batch_received(event: events.BatchReceived, context: Context) -> Facts:
    """A delivery became a batch."""
    return Facts(
        naming.job("receive", event.source),
        "RECEIVE",
        inputs=[
            datasets.read(
                naming.origin(event.uri),
                source=event.source,
                rows=event.rows,
                locations=[naming.clean_uri(event.uri)],
            )
        ],
        outputs=[
            datasets.written(
                naming.batches(context.store_root, event.source),
                event.batch,
                source=event.source,
                rows=event.rows,
                partitions=[event.batch],
                facets={
                    "lazaretto_source": _source(
                        event.source,
                        event.signature,
                        trust_tier=event.trust_tier.value,
                        collected_from=event.collected_from,
                        collected_to=event.collected_to,
                        received_at=event.received_at,
                    ),
                    **datasets.artifact("BATCH", event.batch, event.digest, rows=event.rows),
                    **datasets.schema(event.columns),
                    **datasets.storage("file", event.format),
                },
            )
        ],
        began=event.received_at,
    )


def batch_validated(event: events.BatchValidated, context: Context) -> Facts:
    """A batch was checked against its contract: rules as data-quality assertions on the batch."""
    assertions = [
        data_quality_assertions_dataset.Assertion(
            assertion=rule.rule,
            success=rule.failed == 0,
            column=rule.column,
            severity="warn" if rule.warning else "error",
            description=excerpt(rule.text, datasets.MAX_TEXT),
            expected="0 failing records",
            actual=f"{rule.failed} failing records",
        )
        for rule in event.rules
    ] + [
        data_quality_assertions_dataset.Assertion(
            assertion="batch",
            success=False,
            severity="error",
            description=excerpt(text, datasets.MAX_TEXT),
        )
        for text in event.broken
    ]
    facets: dict[str, InputDatasetFacet] = {}
    if assertions:
        facets["dataQualityAssertions"] = (
            data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(assertions=assertions)
        )
    return Facts(
        naming.job("validate", naming.source_of(event.batch)),
        "VALIDATE",
        inputs=[
            datasets.batch(context.store_root, event.batch, rows=event.rows, input_facets=facets)
        ],
        outputs=[
            datasets.side_car(context.store_root, "failures", event.batch, event.failures.sha256)
        ],
        run_facets=decision(
            context,
            "VALIDATED",
            [event.batch],
            policy=event.policy,
            reason="; ".join(event.broken) or None,
            records={"total": event.rows, "quarantined": event.failing_rows},
        ),
    )


def batch_embedded(event: events.BatchEmbedded, context: Context) -> Facts:
    """A batch's records were turned into vectors."""
    return Facts(
        naming.job("embed", naming.source_of(event.batch)),
        "EMBED",
        inputs=[datasets.batch(context.store_root, event.batch, rows=event.rows)],
        outputs=[
            datasets.side_car(
                context.store_root, "embeddings", event.batch, event.vectors.sha256, rows=event.rows
            )
        ],
    )


def batch_screened(event: events.BatchScreened, context: Context) -> Facts:
    """A batch was screened against a reference: detectors and tests as the `test` facet."""
    reference = naming.reference(context.store_root, event.reference)
    return Facts(
        naming.job("screen", naming.source_of(event.batch)),
        "SCREEN",
        inputs=[
            datasets.batch(context.store_root, event.batch, rows=event.rows),
            datasets.read(reference, event.reference_version),
        ],
        outputs=[datasets.side_car(context.store_root, "scores", event.batch, event.scores.sha256)],
        run_facets=decision(
            context,
            "SCREENED",
            [event.batch],
            policy=event.policy,
            reason=event.note,
            records={"total": event.rows, "quarantined": event.held},
            verdict=event.verdict,
        )
        | tests(event.detectors, event.tests),
    )


def batch_judged(event: events.BatchJudged, context: Context) -> Facts:
    """The gate closed: what it held is the quarantine's next version."""
    source = naming.source_of(event.batch)
    reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(event.reasons.items()))
    return Facts(
        naming.job("gate", source),
        "GATE",
        inputs=[datasets.batch(context.store_root, event.batch, rows=event.rows)],
        outputs=[
            datasets.written(
                naming.held(context.store_root, source),
                event.case,
                source=source,
                rows=event.held,
                facets=datasets.artifact(
                    "QUARANTINE",
                    event.case,
                    event.held_records.sha256 if event.held_records else None,
                    rows=event.held,
                ),
            )
        ]
        if event.case
        else [],
        run_facets=decision(
            context,
            "QUARANTINED" if event.held or event.verdict.holds_batch else "PASSED",
            [event.batch],
            policy=event.policy,
            reason=reasons or None,
            records={"total": event.rows, "released": event.cleared, "quarantined": event.held},
            verdict=event.verdict,
            case=event.case,
        ),
    )


def stored_file_changed(event: events.StoredFileChanged, context: Context) -> Facts:
    """A stage met a changed file of the store: a failed run that wrote nothing."""
    found = f"{event.path} is not the file that is on record: {event.found}"
    return Facts(
        naming.job(event.stage, naming.source_of(event.batch)),
        event.stage.upper(),
        inputs=[datasets.batch(context.store_root, event.batch)],
        run_facets=decision(context, "STOPPED", [event.batch], actor=context.actor, reason=found),
        failure=excerpt(found, datasets.MAX_TEXT),
    )


def _source(
    source: str,
    signature: Signature,
    *,
    trust_tier: str | None = None,
    collected_from: datetime | None = None,
    collected_to: datetime | None = None,
    received_at: datetime | None = None,
) -> LazarettoSourceDatasetFacet:
    checked: dict[str, Any] = {
        "status": signature.status.value,
        "keyId": signature.key_id,
        "scheme": signature.scheme,
        "envelopeUri": signature.envelope and signature.envelope.path,
        "envelopeDigest": signature.envelope and {"sha256": signature.envelope.sha256},
    }
    return LazarettoSourceDatasetFacet(
        sourceId=excerpt(source, 255),
        signature={key: value for key, value in checked.items() if value is not None},
        trustTier=trust_tier,
        collectedFrom=datasets.iso(collected_from),
        collectedTo=datasets.iso(collected_to),
        receivedAt=datasets.iso(received_at),
    )
