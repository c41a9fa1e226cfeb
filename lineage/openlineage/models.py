"""From the ledger to OpenLineage: a model version, and all that it learned from."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import rfc8785

from lazaretto.lineage.openlineage import datasets, naming
from lazaretto.lineage.openlineage.facets import LazarettoTrainingRunFacet
from lazaretto.lineage.openlineage.facts import Context, Facts
from lazaretto.lineage.openlineage.outcomes import purpose_of
from lazaretto.redact import carries_credentials, safe_uri
from lazaretto.values import InputKind, InputRole, ModelInput

if TYPE_CHECKING:
    from lazaretto.ledger import events
    from lazaretto.lineage.openlineage.naming import DatasetName

_TYPES = {InputKind.SNAPSHOT: "TABLE", InputKind.TABLE: "TABLE", InputKind.MODEL: "MODEL"}


def model_registered(event: events.ModelRegistered, context: Context) -> Facts:
    """A model version learned from snapshots, tables of others, or other models."""
    purpose = purpose_of(event)
    learned = inputs_of(event)
    return Facts(
        naming.job("train", event.model),
        "TRAIN",
        inputs=[
            datasets.read(
                name_of(one, context.store_root),
                one.version,
                type_=_TYPES[one.kind],
                rows=one.rows,
            )
            for one in learned
        ],
        outputs=[
            datasets.written(
                naming.model(event.registry, event.model),
                event.version,
                type_="MODEL",
                facets=datasets.artifact("MODEL", event.version, event.artifact_digest),
            )
        ],
        run_facets={
            "lazaretto_training": LazarettoTrainingRunFacet(
                purpose=purpose,
                consumed=[_consumed(one, name_of(one, context.store_root)) for one in learned],
                externalRunId=event.external_run_id,
                paramsDigest={"sha256": hashlib.sha256(rfc8785.dumps(event.params)).hexdigest()}
                if event.params
                else None,
                seed=event.seed,
            )
        },
    )


def inputs_of(event: events.ModelRegistered) -> list[ModelInput]:
    """All that a model version learned from: its first snapshot, and what else the entry names.

    Args:
        event: of the registration.
    """
    if event.dataset is None or event.snapshot is None:
        return list(event.inputs)
    evaluated = purpose_of(event) == "EVAL"
    role = InputRole.TEST if evaluated else InputRole.TRAIN
    first = ModelInput(InputKind.SNAPSHOT, "", event.dataset, str(event.snapshot), role, event.rows)
    return [first, *event.inputs]


def name_of(one: ModelInput, store_root: str) -> DatasetName:
    """The OpenLineage name of something that a model version learned from.

    Args:
        one: snapshot, table or model.
        store_root: root of the store, for the name of a snapshot's dataset.
    """
    match one.kind:
        case InputKind.SNAPSHOT:
            return naming.admitted(store_root, one.name)
        case InputKind.MODEL:
            return naming.model(one.namespace, one.name)
        case InputKind.TABLE:
            secret = carries_credentials(one.namespace)
            return naming.DatasetName(
                safe_uri(one.namespace) if secret else one.namespace, one.name
            )


def _consumed(one: ModelInput, where: DatasetName) -> dict[str, Any]:
    told = {
        "namespace": where.namespace,
        "name": where.name,
        "version": one.version,
        "role": one.role.value,
        "recordCount": one.rows,
    }
    return {key: value for key, value in told.items() if value is not None}
