"""Everything that a model version was made of, read from the ledger and from a trace."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lazaretto.ledger.chain import entries
from lazaretto.ledger.chain import entry as ledger_entry
from lazaretto.ledger.checkpoint import ledger_id
from lazaretto.ledger.events import BatchReceived, ModelAliased, ModelEvaluated, ModelRegistered
from lazaretto.lineage.openlineage import naming
from lazaretto.lineage.openlineage.models import inputs_of, name_of
from lazaretto.stages.taken import find_snapshot
from lazaretto.values import InputKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
    from lazaretto.lineage.trace.answer import Trace
    from lazaretto.stages.taken import Snapshot
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import ModelInput

_AT_ONCE = 1_000
_MOST_MODELS = 1_000


@dataclass(frozen=True, slots=True, order=True)
class ModelKey:
    """A model version, by the OpenLineage namespace of its registry."""

    registry: str
    name: str
    version: str


@dataclass(slots=True)
class Origin:
    """What the ledger tells of a model version's making.

    Attributes:
        asked: the model version.
        ledger: id of the ledger.
        head: newest entry that was looked at.
        registered: entries of the model version and of each that it learned from, by model.
        inputs: what each of them learned from.
        snapshots: by dataset and version; those of them that are on record.
        received: entry of each batch in them.
        evaluation: newest evaluation of the model version; None: there is none.
        names: that stand for it, such as ``production``.
    """

    asked: ModelKey
    ledger: str
    head: Entry
    registered: dict[ModelKey, list[Entry]] = field(default_factory=dict)
    inputs: dict[ModelKey, list[ModelInput]] = field(default_factory=dict)
    snapshots: dict[tuple[str, str], Snapshot] = field(default_factory=dict)
    received: dict[str, Entry] = field(default_factory=dict)
    evaluation: Entry | None = None
    names: list[str] = field(default_factory=list)


def read_origin(workspace: Workspace, trace: Trace, asked: ModelKey) -> Origin:
    """Follows a model version through the ledger, up to the entry that its trace looks at.

    Args:
        workspace: catalog and store.
        trace: of the model version.
        asked: the model version.

    Raises:
        ChangedStateError: the catalog does not say what the ledger says.
    """
    with workspace.catalog.read() as connection:
        ledger = ledger_id(ledger_entry(connection, 1).hash)
        origin = Origin(asked, ledger, ledger_entry(connection, trace.seq))
        waiting = [asked]
        while waiting and len(origin.registered) < _MOST_MODELS:
            model = waiting.pop()
            if model in origin.registered:
                continue
            found = list(_registrations(connection, model, until=trace.seq))
            origin.registered[model] = found
            origin.inputs[model] = [
                one
                for entry in found
                if isinstance(entry.event, ModelRegistered)
                for one in inputs_of(entry.event)
            ]
            for one in origin.inputs[model]:
                if one.kind is InputKind.MODEL:
                    waiting.append(model_key(one, workspace.store.root))
                elif one.kind is InputKind.SNAPSHOT:
                    _add_snapshot(connection, workspace, origin, one)
        batches = {batch.id for batch in trace.batches}
        for taken in origin.snapshots.values():
            batches |= {member.batch for member in taken.members}
        _add_batches(connection, origin, sorted(batches))
        _add_standing(connection, origin, until=trace.seq)
    return origin


def model_key(one: ModelInput, store_root: str) -> ModelKey:
    """Another model version that was learned from.

    Args:
        one: of kind MODEL.
        store_root: root of the store.
    """
    namespace, name = name_of(one, store_root)
    return ModelKey(namespace, name, one.version or "")


def _registrations(connection: Connection, model: ModelKey, *, until: int) -> Iterator[Entry]:
    kinds = [ModelRegistered.kind]
    for entry in entries(connection, kinds=kinds, subject=f"model:{model.name}", until=until):
        event = entry.event
        if isinstance(event, ModelRegistered) and event.version == model.version:
            namespace = naming.model(event.registry, event.model).namespace
            if namespace == model.registry:
                yield entry


def _add_standing(connection: Connection, origin: Origin, *, until: int) -> None:
    """The newest evaluation of the model version, and the names that stand for it."""
    asked = origin.asked
    standing: dict[str, str | None] = {}
    kinds = [ModelEvaluated.kind, ModelAliased.kind]
    for entry in entries(connection, kinds=kinds, subject=f"model:{asked.name}", until=until):
        match entry.event:
            case ModelEvaluated() | ModelAliased() as event:
                where = naming.model(event.registry, event.model).namespace
                if where != asked.registry:
                    continue
                if isinstance(event, ModelAliased):
                    standing[event.alias] = event.version
                elif event.version == asked.version:
                    origin.evaluation = entry
    origin.names = sorted(name for name, version in standing.items() if version == asked.version)


def _add_snapshot(
    connection: Connection, workspace: Workspace, origin: Origin, one: ModelInput
) -> None:
    key = (one.name, one.version or "")
    if key in origin.snapshots or not key[1].isdecimal():
        return
    taken = find_snapshot(connection, workspace, one.name, int(key[1]))
    if taken is not None:
        origin.snapshots[key] = taken


def _add_batches(connection: Connection, origin: Origin, batches: list[str]) -> None:
    for start in range(0, len(batches), _AT_ONCE):
        subjects = [f"batch:{batch}" for batch in batches[start : start + _AT_ONCE]]
        for entry in entries(connection, kinds=[BatchReceived.kind], subjects=subjects):
            if isinstance(entry.event, BatchReceived):
                origin.received[entry.event.batch] = entry
