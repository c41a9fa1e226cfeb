"""What admissions, recalls, snapshots and registered models do to the rows of the catalog."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from lazaretto.ledger.events import (
    BatchAdmitted,
    DatasetCompacted,
    DatasetGrown,
    ModelAliased,
    ModelRegistered,
    RecordsRecalled,
    RowsLost,
    SnapshotTaken,
    ViewTaken,
)
from lazaretto.ledger.state import Put, PutFound, entry_columns
from lazaretto.names import registry_name
from lazaretto.storage import tables
from lazaretto.values import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.ledger.chain import Entry
    from lazaretto.ledger.state import Change
    from lazaretto.values import Actor, ModelInput

ContentEvent = BatchAdmitted | RecordsRecalled | RowsLost
"""What makes a version of a dataset with other records."""
VersionEvent = ContentEvent | DatasetGrown | DatasetCompacted
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
            yield from _marks(event)
        case RowsLost() as event:
            for columns in lost_columns(event):
                yield Put(tables.lost_part, columns | {"at": entry.at} | own)
        case DatasetCompacted() as event:
            yield Put(tables.compaction, compaction_columns(event) | {"at": entry.at} | own)
        case SnapshotTaken() as event:
            yield Put(tables.snapshot, snapshot_columns(event) | {"at": entry.at} | own)
        case ViewTaken() as event:
            yield Put(tables.training_view, view_columns(event) | {"at": entry.at} | own)
        case ModelRegistered() as event:
            yield from _model(event, {"at": entry.at} | own)
        case ModelAliased() as event:
            yield Put(tables.model_alias, alias_columns(event) | {"at": entry.at} | own)


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


def compaction_columns(event: DatasetCompacted) -> dict[str, Any]:
    """The same of a compaction."""
    return {name: getattr(event, name) for name in ("dataset", "version", "rows")}


def snapshot_columns(event: SnapshotTaken) -> dict[str, Any]:
    """The same of a snapshot."""
    return {name: getattr(event, name) for name in ("dataset", "version", "rows", "digest")}


def view_columns(event: ViewTaken) -> dict[str, Any]:
    """The same of a training view without some batches."""
    names = ("dataset", "view", "version", "rows", "digest")
    return {name: getattr(event, name) for name in names}


def model_key(event: ModelRegistered) -> dict[str, Any]:
    """The columns that say which model version an entry is about."""
    registry = registry_name(event.registry)
    return {"registry": registry, "model": event.model, "version": event.version}


def model_columns(event: ModelRegistered) -> dict[str, Any]:
    """What the first entry of a model version says of it for good."""
    return {name: getattr(event, name) for name in ("dataset", "snapshot", "rows", "purpose")}


def artifact_columns(event: ModelRegistered) -> dict[str, Any]:
    """What the newest entry of a model version says of its weights."""
    return {"artifact_uri": event.artifact_uri, "artifact_digest": event.artifact_digest}


def input_columns(learned: ModelInput) -> dict[str, Any]:
    """The same of something that a model version learned from."""
    return {
        "kind": learned.kind.value,
        "namespace": learned.namespace,
        "name": learned.name,
        "of_version": learned.version,
        "role": learned.role.value,
        "rows": learned.rows,
    }


def alias_columns(event: ModelAliased) -> dict[str, Any]:
    """The same of an alias."""
    names = ("model", "alias", "version")
    return {"registry": registry_name(event.registry)} | {n: getattr(event, n) for n in names}


def _model(event: ModelRegistered, own: dict[str, Any]) -> Iterator[Change]:
    """The first entry makes the row; what it learned from, and its weights, may come later."""
    key = model_key(event)
    yield Put(tables.model_version, key | artifact_columns(event), model_columns(event) | own)
    for learned in event.learned_from:
        yield Put(tables.model_input, key | {"input": learned.key}, input_columns(learned) | own)
    for recall in event.recalls:
        yield Put(tables.recalled_model, {"recall": recall} | key)


def _marks(event: RecordsRecalled) -> Iterator[Change]:
    """Older entries name no registry: they were written when one name was of one registry."""
    for name, registry in zip_longest(event.models, event.registries[: len(event.models)]):
        model, _, version = name.rpartition("@")
        named = {"model": model, "version": version}
        values = {"recall": event.recall} | named
        if registry is None:
            source = tables.model_version
            yield PutFound(tables.recalled_model, values, source, named, ("registry",))
        else:
            yield Put(tables.recalled_model, values | {"registry": registry_name(registry)})
