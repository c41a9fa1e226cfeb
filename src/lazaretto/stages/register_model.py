"""Register a model version: which snapshot it learned from, and which recalls it already missed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.batch import file_digest
from lazaretto.batch._delivery import public_uri
from lazaretto.dataset.admission import dataset_uri
from lazaretto.dataset.contents import models_that_saw
from lazaretto.errors import DeliveryError, NotFoundError, UsageError
from lazaretto.ledger.chain import append
from lazaretto.ledger.events import ModelRegistered
from lazaretto.redact import safe_uri
from lazaretto.storage import tables
from lazaretto.storage.sidecars import read_table
from lazaretto.values import StoredFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sqlalchemy.engine import Connection

    from lazaretto.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A model version and what it learned from.

    Attributes:
        model: name in the registry.
        version: in the registry.
        dataset: admitted dataset.
        snapshot: Delta version of it.
        rows: records of the snapshot.
        recalls: recalls of records that it saw.
        seq: ledger entry.
    """

    model: str
    version: str
    dataset: str
    snapshot: int
    rows: int
    recalls: list[str] = field(default_factory=list)
    seq: int = 0


def register_model(
    workspace: Workspace,
    model: str,
    version: str,
    dataset: str,
    snapshot: int,
    *,
    registry: str = "local",
    purpose: str = "TRAINING",
    artifact: str | Path | None = None,
    external_run_id: str | None = None,
    params: Mapping[str, str] | None = None,
    seed: int | None = None,
) -> ModelVersion:
    """Puts a model version on record; the same again changes nothing.

    Args:
        workspace: catalog and store.
        model: name in the registry.
        version: in the registry.
        dataset: admitted dataset that it learned from.
        snapshot: Delta version that it learned from; `snapshot` must have taken it.
        registry: namespace of the registry.
        purpose: such as ``TRAINING`` or ``FINE_TUNING``.
        artifact: path, or URI in a bucket, of the weights; its sha256 goes on record, and where it
            lies, without credentials.
        external_run_id: of the training run, in whatever ran it.
        params: worth keeping.
        seed: of the training.

    Raises:
        NotFoundError: the snapshot is not on record, or there is no artifact.
        UsageError: this model version is on record with another snapshot.
    """
    registry = safe_uri(registry)
    digest = None if artifact is None else _digest(str(artifact))
    with workspace.catalog.transaction() as connection:
        rows = connection.scalar(
            sa.select(tables.snapshot.c.rows).where(
                tables.snapshot.c.dataset == dataset, tables.snapshot.c.version == snapshot
            )
        )
        if rows is None:
            raise NotFoundError(
                f"no snapshot of version {snapshot} of dataset {dataset!r} was taken: a model's "
                "origin must be known, so take the snapshot before training"
            )
        event = ModelRegistered(
            model=model,
            version=version,
            registry=registry,
            dataset=dataset,
            snapshot=snapshot,
            rows=rows,
            purpose=purpose,
            artifact_uri=None if artifact is None else public_uri(artifact),
            artifact_digest=digest,
            external_run_id=external_run_id,
            params=dict(params or {}),
            seed=seed,
        )
        known = _find(connection, model, version)
        if known is not None:
            if (known.dataset, known.snapshot) != (dataset, snapshot):
                raise UsageError(
                    f"{model}@{version} is on record as trained on "
                    f"{known.dataset}@{known.snapshot}: give this training another version"
                )
            return known
        written = append(connection, event, actor=workspace.actor)
        connection.execute(
            tables.model_version.insert().values(
                model=model,
                version=version,
                registry=registry,
                dataset=dataset,
                snapshot=snapshot,
                rows=rows,
                purpose=purpose,
                artifact_uri=event.artifact_uri,
                artifact_digest=digest,
                at=datetime.now(UTC),
                seq=written.seq,
                entry=written.hash,
            )
        )
        _mark_recalled(connection, workspace, event)
        registered = _find(connection, model, version)
    assert registered is not None  # noqa: S101  written above
    return registered


def _find(connection: Connection, model: str, version: str) -> ModelVersion | None:
    table, recalled = tables.model_version, tables.recalled_model
    query = sa.select(table).where(table.c.model == model, table.c.version == version)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    marks = sa.select(recalled.c.recall).where(
        recalled.c.model == model, recalled.c.version == version
    )
    return ModelVersion(
        row.model,
        row.version,
        row.dataset,
        row.snapshot,
        row.rows,
        sorted(connection.scalars(marks)),
        row.seq,
    )


def _mark_recalled(connection: Connection, workspace: Workspace, event: ModelRegistered) -> None:
    """Marks a model that was trained before a recall and is registered after it."""
    recall = tables.recall
    query = sa.select(recall.c.id, recall.c.version, recall.c.ids).where(
        recall.c.dataset == event.dataset, recall.c.version > event.snapshot
    )
    mine = (event.model, event.version)
    uri = dataset_uri(workspace, event.dataset)
    for identity, version, ids in connection.execute(query).all():
        records = read_table(workspace.store, StoredFile(**ids))
        saw = models_that_saw(connection, event.dataset, uri, records, version)
        if mine in saw:
            connection.execute(
                tables.recalled_model.insert().values(
                    recall=identity, model=event.model, version=event.version
                )
            )


def _digest(artifact: str) -> str:
    try:
        return file_digest(artifact)
    except DeliveryError as error:
        raise NotFoundError(f"the model's artifact cannot be read: {error}") from error
