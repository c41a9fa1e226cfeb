"""What admissions, recalls, snapshots and registered models do to the rows of the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lazaretto.ledger.events import (
    BatchAdmitted,
    ModelRegistered,
    RecordsRecalled,
    RowsLost,
    SnapshotTaken,
)
from lazaretto.ledger.state import Put, entry_columns
from lazaretto.storage import tables
from lazaretto.values import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.ledger.chain import Entry
    from lazaretto.ledger.state import Change
    from lazaretto.values import Actor

VersionEvent = BatchAdmitted | RecordsRecalled | RowsLost
"""What makes a version of a dataset."""


def changes(entry: Entry) -> Iterator[Change]:
    """What an entry about a dataset, or about a model that learned from it, does to the catalog."""
    own = entry_columns(entry)
    if isinstance(entry.event, VersionEvent):
        first = {"created_at": entry.at}
        yield Put(tables.dataset, newest_columns(entry.event) | own, first)
    match entry.event:
        case BatchAdmitted() as event:
            yield Put(tables.admission, admission_columns(event) | {"admitted_at": entry.at} | own)
        case RecordsRecalled() as event:
            values = recall_columns(event, entry.actor) | {"at": entry.at} | own
            yield Put(tables.recall, values)
            for model, _, version in (name.rpartition("@") for name in event.models):
                yield _mark(event.recall, model, version)
        case RowsLost() as event:
            for columns in lost_columns(event):
                yield Put(tables.lost_part, columns | {"at": entry.at} | own)
        case SnapshotTaken() as event:
            yield Put(tables.snapshot, snapshot_columns(event) | {"at": entry.at} | own)
        case ModelRegistered() as event:
            yield Put(tables.model_version, model_columns(event) | {"at": entry.at} | own)
            for recall in event.recalls:
                yield _mark(recall, event.model, event.version)


def newest_columns(event: VersionEvent) -> dict[str, Any]:
    """The catalog's columns of a dataset whose newest version this is, by what the ledger says."""
    return {"name": event.dataset, "table_id": event.table_id, "version": event.version}


def admission_columns(event: BatchAdmitted) -> dict[str, Any]:
    """The same of an admission."""
    names = ("dataset", "batch", "part", "rows", "version")
    return {name: getattr(event, name) for name in names} | {"policy": to_json(event.policy)}


def recall_columns(event: RecordsRecalled, actor: Actor) -> dict[str, Any]:
    """The same of a recall."""
    names = ("dataset", "version", "records", "ids_digest", "reason")
    return {name: getattr(event, name) for name in names} | {
        "id": event.recall,
        "criteria": dict(event.criteria),
        "ids": to_json(event.ids),
        "actor_type": actor.type.value,
        "actor_id": actor.id,
    }


def lost_columns(event: RowsLost) -> list[dict[str, Any]]:
    """The same of each part that was lost."""
    where = {"dataset": event.dataset, "version": event.version}
    return [where | {"batch": p.batch, "part": p.part, "rows": p.rows} for p in event.parts]


def snapshot_columns(event: SnapshotTaken) -> dict[str, Any]:
    """The same of a snapshot."""
    return {name: getattr(event, name) for name in ("dataset", "version", "rows", "digest")}


def model_columns(event: ModelRegistered) -> dict[str, Any]:
    """The same of a model version."""
    names = ("model", "version", "registry", "dataset", "snapshot", "rows", "purpose")
    more = ("artifact_uri", "artifact_digest")
    return {name: getattr(event, name) for name in (*names, *more)}


def _mark(recall: str, model: str, version: str) -> Put:
    values = {"recall": recall, "model": model, "version": version}
    return Put(tables.recalled_model, values)
