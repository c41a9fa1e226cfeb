"""Register a model version: what it learned from, and which recalls of that it already missed."""

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
from lazaretto.dataset.models import KnownModel, ModelKey, find_model
from lazaretto.dataset.state import changes
from lazaretto.dataset.table import open_newest
from lazaretto.errors import DeliveryError, NotFoundError, SystemFaultError, UsageError
from lazaretto.ledger.events import ModelRegistered
from lazaretto.ledger.state import record
from lazaretto.stages.ignored_weights import ignored_weights
from lazaretto.stages.model_inputs import (
    all_inputs,
    check_inputs,
    check_name,
    check_registry,
    check_version,
)
from lazaretto.stages.taken import find_named
from lazaretto.storage import tables
from lazaretto.storage.sidecars import read_table
from lazaretto.values import InputKind, ModelInput, role_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sqlalchemy.engine import Connection

    from lazaretto.stages.taken import Snapshot
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import SnapshotRead, StoredFile

Recalls = dict[str, "StoredFile"]
"""Recalls by id, each with the file that names its records."""


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A model version and what it learned from.

    Attributes:
        model: name in the registry.
        version: in the registry.
        dataset: admitted dataset of the first snapshot; None: it learned from none.
        snapshot: Delta version of it.
        rows: records of that snapshot.
        recalls: recalls of records that it learned from.
        seq: newest ledger entry about it.
        registry: namespace of the registry.
        inputs: all that it learned from, over all its entries.
        artifact_digest: sha256 (hex) of the weights; None: not known.
        ignored_weights: snapshots, each as ``DATASET@VERSION``, whose records reviewers gave
            weights that the training did not read, as far as it said what it read.
    """

    model: str
    version: str
    dataset: str | None
    snapshot: int | None
    rows: int
    recalls: list[str] = field(default_factory=list)
    seq: int = 0
    registry: str = "local"
    inputs: list[ModelInput] = field(default_factory=list)
    artifact_digest: str | None = None
    ignored_weights: list[str] = field(default_factory=list)


def register_model(
    workspace: Workspace,
    model: str,
    version: str,
    dataset: str | None = None,
    snapshot: int | None = None,
    *,
    inputs: Sequence[ModelInput] = (),
    reads: Sequence[SnapshotRead] = (),
    origin_known: bool = True,
    registry: str = "local",
    purpose: str = "TRAINING",
    artifact: str | Path | None = None,
    external_run_id: str | None = None,
    params: Mapping[str, str] | None = None,
    seed: int | None = None,
) -> ModelVersion:
    """Puts a model version on record, or adds to what it learned from; the same changes nothing.

    Args:
        workspace: catalog and store.
        model: name in the registry.
        version: in the registry.
        dataset: admitted dataset that it learned from.
        snapshot: Delta version that it learned from; `snapshot` must have taken it.
        inputs: what else it learned from: snapshots, tables of others, other models.
        reads: what the training read of snapshots, as `lazaretto.training.training_data` says. They
            are inputs too. Where records weigh less or more than usual and the training did not
            read the weights, that goes on record and is told.
        origin_known: False: it may be registered with nothing that it learned from, and no answer
            will call it clean.
        registry: namespace of the registry.
        purpose: such as ``TRAINING`` or ``FINE_TUNING``.
        artifact: path, or URI in a bucket, of the weights; its sha256 goes on record, and where it
            lies, without credentials.
        external_run_id: of the training run, in whatever ran it.
        params: worth keeping.
        seed: of the training.

    Raises:
        NotFoundError: a snapshot is not on record, or there is no artifact.
        UsageError: it names nothing that it learned from, or this model version is on record with
            other weights.
        ChangedDatasetError: a dataset's table is not the one that is on record.

    Examples:
        >>> made = register_model(workspace, "net", "2", "reviews", 2)
        >>> made.model, made.version, made.rows
        ('net', '2', 114)
    """
    key = ModelKey(check_registry(registry), check_name(model), check_version(version))
    named = check_inputs(key, all_inputs(dataset, snapshot, inputs, reads, purpose))
    if not named and origin_known:
        raise UsageError(
            f"{key.name} names nothing that it learned from: name a snapshot, a table or a model"
        )
    event = ModelRegistered(
        model=key.model,
        version=key.version,
        registry=key.registry,
        dataset=None,
        snapshot=None,
        rows=0,
        purpose=purpose[:32],
        artifact_uri=None if artifact is None else public_uri(artifact),
        artifact_digest=None if artifact is None else _digest(str(artifact)),
        external_run_id=external_run_id,
        params=dict(params or {}),
        seed=seed,
    )
    for name in sorted({one.name for one in named if one.kind is InputKind.SNAPSHOT}):
        with damage_on_record(workspace, name, "register"):
            open_newest(workspace, name)
    ignored = ignored_weights(workspace, reads)
    for _ in range(ATTEMPTS):
        with workspace.catalog.read() as connection:
            known = find_model(connection, key)
            learned = _found(connection, workspace, _new(named, known))
            recalls = _recalls_after(connection, learned)
        fresh = [name for name in ignored if known is None or name not in known.ignored_weights]
        told = _adds(replace(event, ignored_weights=fresh), known, [one for one, _ in learned])
        if told is None and known is not None:
            return _model_version(known)
        missed = _missed(workspace, learned, recalls)
        with workspace.catalog.transaction() as connection:
            if find_model(connection, key) != known:
                continue
            if told is not None and _recalls_after(connection, learned) == recalls:
                record(connection, replace(told, recalls=missed), changes, actor=workspace.actor)
                made = find_model(connection, key)
                if made is not None:
                    return _model_version(made)
    raise SystemFaultError(
        f"{key.name}, or records that it learned from, changed {ATTEMPTS} times meanwhile"
    )


def _new(named: Sequence[ModelInput], known: KnownModel | None) -> list[ModelInput]:
    """Inputs that are not on record yet, each once."""
    there = set() if known is None else {one.key for one in known.inputs}
    return list({one.key: one for one in named if one.key not in there}.values())


def _found(
    connection: Connection, workspace: Workspace, named: Sequence[ModelInput]
) -> list[tuple[ModelInput, Snapshot | None]]:
    """Inputs, each with the snapshot that it is, and the records of that.

    Raises:
        NotFoundError: a snapshot was not taken.
    """
    found: list[tuple[ModelInput, Snapshot | None]] = []
    for one in named:
        if one.kind is not InputKind.SNAPSHOT:
            found.append((one, None))
            continue
        taken = find_named(connection, workspace, one.name, str(one.version))
        if taken is None:
            raise NotFoundError(
                f"no snapshot {one.version} of dataset {one.name!r} was taken: a model's origin "
                "must be known, so take the snapshot before training"
            )
        found.append((replace(one, rows=taken.rows), taken))
    return found


def _adds(
    event: ModelRegistered, known: KnownModel | None, new: list[ModelInput]
) -> ModelRegistered | None:
    """The entry of what is new of a model version; None where it is all on record.

    The first snapshot in the role that the purpose gives it stands by itself, as it always did.

    Raises:
        UsageError: it is on record with other weights.
    """
    if known is not None:
        before = known.newest
        digests = {before.artifact_digest, event.artifact_digest} - {None}
        if len(digests) > 1:
            raise UsageError(
                f"{known.key.name} of {known.key.registry} is on record with other weights (sha256 "
                f"{before.artifact_digest}): give this training another version"
            )
        known_weights = event.artifact_digest is None or before.artifact_digest is not None
        if not new and not event.ignored_weights and known_weights:
            return None
        if event.artifact_digest is None or before.artifact_digest is not None:
            event = replace(
                event, artifact_uri=before.artifact_uri, artifact_digest=before.artifact_digest
            )
    role = role_of(event.purpose)
    for first in new:
        if first.kind is InputKind.SNAPSHOT and first.role is role and str(first.version).isdigit():
            rest = [one for one in new if one is not first]
            version, rows = int(str(first.version)), first.rows or 0
            return replace(event, dataset=first.name, snapshot=version, rows=rows, inputs=rest)
    return replace(event, inputs=new)


def _recalls_after(
    connection: Connection, learned: Sequence[tuple[ModelInput, Snapshot | None]]
) -> list[Recalls]:
    """For each input, the recalls that came after its version; of what only measured, none."""
    recall = tables.recall
    found: list[Recalls] = []
    for one, taken in learned:
        if taken is None or not one.role.weighs:
            found.append({})
            continue
        query = (
            sa.select(recall)
            .where(recall.c.dataset == taken.dataset, recall.c.version > taken.version)
            .order_by(recall.c.version)
        )
        rows = connection.execute(query).all()
        found.append({row.id: read_recall(connection, row)[1].ids for row in rows})
    return found


def _missed(
    workspace: Workspace,
    learned: Sequence[tuple[ModelInput, Snapshot | None]],
    recalls: Sequence[Recalls],
) -> list[str]:
    """Recalls of records that are in one of the snapshots."""
    missed: set[str] = set()
    for (_, taken), later in zip(learned, recalls, strict=True):
        if taken is None:
            continue
        with damage_on_record(workspace, taken.dataset, "register", taken.files):
            for recall, ids in later.items():
                gone = by_batch(read_table(workspace.store, ids))
                if recall not in missed and holds_any(workspace.store, taken.files, gone):
                    missed.add(recall)
    return sorted(missed)


def _model_version(known: KnownModel) -> ModelVersion:
    first = known.first
    return ModelVersion(
        known.key.model,
        known.key.version,
        first.dataset,
        first.snapshot,
        first.rows,
        known.recalls,
        known.seqs[-1],
        known.key.registry,
        known.inputs,
        known.newest.artifact_digest,
        known.ignored_weights,
    )


def _digest(artifact: str) -> str:
    try:
        return file_digest(artifact)
    except DeliveryError as error:
        raise NotFoundError(f"the model's artifact cannot be read: {error}") from error
