"""Register a model version: which snapshot it learned from, and which recalls it already missed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.batch import file_digest
from lazaretto.batch._delivery import public_uri
from lazaretto.dataset.commit import ATTEMPTS
from lazaretto.dataset.contents import by_batch, holds_any
from lazaretto.dataset.damage import damage_on_record
from lazaretto.dataset.history import read_recall
from lazaretto.dataset.state import changes, model_columns
from lazaretto.dataset.table import open_newest
from lazaretto.errors import DeliveryError, NotFoundError, SystemFaultError, UsageError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.cover import agree, event_of
from lazaretto.ledger.events import ModelRegistered, RecordsRecalled
from lazaretto.ledger.state import record
from lazaretto.redact import safe_uri
from lazaretto.stages.snapshot import find_snapshot
from lazaretto.storage import tables
from lazaretto.storage.sidecars import read_table

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from sqlalchemy.engine import Connection

    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import StoredFile


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
        ChangedDatasetError: the dataset's table is not the one that is on record.

    Examples:
        >>> made = register_model(workspace, "net", "2", "reviews", 2)
        >>> made.model, made.version, made.rows
        ('net', '2', 114)
    """
    registry = safe_uri(registry)
    digest = None if artifact is None else _digest(str(artifact))
    with damage_on_record(workspace, dataset, "register"):
        open_newest(workspace, dataset)
    for _ in range(ATTEMPTS):
        with workspace.catalog.read() as connection:
            known = _find(connection, model, version)
            taken = find_snapshot(connection, workspace, dataset, snapshot)
            recalls = _recalls_after(connection, dataset, snapshot)
        if taken is None:
            raise NotFoundError(
                f"no snapshot of version {snapshot} of dataset {dataset!r} was taken: a model's "
                "origin must be known, so take the snapshot before training"
            )
        if known is not None:
            return _same(known, dataset, snapshot)
        event = ModelRegistered(
            model=model,
            version=version,
            registry=registry,
            dataset=dataset,
            snapshot=snapshot,
            rows=taken.rows,
            purpose=purpose,
            artifact_uri=None if artifact is None else public_uri(artifact),
            artifact_digest=digest,
            external_run_id=external_run_id,
            params=dict(params or {}),
            seed=seed,
        )
        with damage_on_record(workspace, dataset, "register", taken.files):
            missed = [
                recall
                for recall, ids in recalls.items()
                if holds_any(
                    workspace.store, taken.files, by_batch(read_table(workspace.store, ids))
                )
            ]
        with workspace.catalog.transaction() as connection:
            known = _find(connection, model, version)
            if known is not None:
                return _same(known, dataset, snapshot)
            if _recalls_after(connection, dataset, snapshot) == recalls:
                event = replace(event, recalls=missed)
                entry = record(connection, event, changes, actor=workspace.actor)
                return _model_version(entry.seq, event, missed)
    raise SystemFaultError(f"dataset {dataset!r} was recalled from {ATTEMPTS} times meanwhile")


def _same(known: ModelVersion, dataset: str, snapshot: int) -> ModelVersion:
    """A model version that is on record, where it is of the same snapshot."""
    if (known.dataset, known.snapshot) != (dataset, snapshot):
        raise UsageError(
            f"{known.model}@{known.version} is on record as trained on "
            f"{known.dataset}@{known.snapshot}: give this training another version"
        )
    return known


def _model_version(seq: int, event: ModelRegistered, recalls: Collection[str]) -> ModelVersion:
    return ModelVersion(
        event.model,
        event.version,
        event.dataset,
        event.snapshot,
        event.rows,
        sorted(recalls),
        seq,
    )


def _find(connection: Connection, model: str, version: str) -> ModelVersion | None:
    """A model version that is on record, with every recall of records that it saw.

    Raises:
        ChangedStateError: the catalog does not say what the ledger says.
    """
    table, words = tables.model_version, f"{model}@{version}"
    query = sa.select(table).where(table.c.model == model, table.c.version == version)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    entry, event = event_of(connection, table.name, words, row, ModelRegistered)
    agree(table.name, words, row, model_columns(event))
    later = {
        found.event.recall
        for found in entries(connection, kinds=[RecordsRecalled.kind], after=entry.seq)
        if isinstance(found.event, RecordsRecalled) and words in found.event.models
    }
    return _model_version(entry.seq, event, {*event.recalls, *later})


def _recalls_after(connection: Connection, dataset: str, snapshot: int) -> dict[str, StoredFile]:
    """Recalls that came after a version: their records, by id."""
    recall = tables.recall
    query = (
        sa.select(recall)
        .where(recall.c.dataset == dataset, recall.c.version > snapshot)
        .order_by(recall.c.version)
    )
    rows = connection.execute(query).all()
    return {row.id: read_recall(connection, row)[1].ids for row in rows}


def _digest(artifact: str) -> str:
    try:
        return file_digest(artifact)
    except DeliveryError as error:
        raise NotFoundError(f"the model's artifact cannot be read: {error}") from error
