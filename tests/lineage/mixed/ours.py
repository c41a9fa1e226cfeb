"""Puts on a real ledger what we did in a history, each entry at its moment."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ledger_history import SERVICE, History
from mixed.facts import ROWS, moment
from mixed.names import DATASET, registry_of
from mixed.wire import placed

from lazaretto.ledger import events
from lazaretto.ledger.chain import append
from lazaretto.lineage.openlineage.naming import DatasetName
from lazaretto.values import InputKind, InputRole, ModelInput, TrustTier

if TYPE_CHECKING:
    from mixed.facts import Seen, World
    from mixed.names import Name

    from lazaretto.storage.workspace import Workspace

_COLLECTED = timedelta(minutes=10), timedelta(minutes=5)


@dataclass
class Ledger(History):
    """A ledger whose entries are written at given moments, all in one transaction."""

    now: float = 0.0
    entries: list[tuple[float, events.Event]] = field(default_factory=list)

    def write(self, *found: events.Event) -> None:
        self.entries += [(self.now, _dated(event)) for event in found]

    def commit(self) -> None:
        with self.workspace.catalog.transaction() as connection:
            for at, event in self.entries:
                append(connection, event, actor=SERVICE, at=moment(at))


def write_ledger(workspace: Workspace, world: World) -> None:
    """Writes all entries of a history."""
    ledger = Ledger(workspace, dataset=DATASET)
    for source in sorted({b.source for b in world.batches.values() if b.ours}):
        ledger.write(events.SourceRegistered(source, TrustTier.REVIEWED))
    for at, kind, values in world.ledger:
        ledger.now = at
        _WRITE[kind](ledger, **values)
    ledger.commit()


def _dated(event: events.Event) -> events.Event:
    """A batch says that it was collected just before it was received."""
    if not isinstance(event, events.BatchReceived):
        return event
    first, last = (event.received_at - before for before in _COLLECTED)
    return replace(event, collected_from=first, collected_to=last)


def _receive(ledger: Ledger, source: str) -> None:
    ledger.receive(source, received=moment(ledger.now), rows=ROWS)


def _admit(ledger: Ledger, batch: str) -> None:
    ledger.admit(batch, ROWS)


def _recall(ledger: Ledger, batch: str, rows: int) -> None:
    ledger.recall({batch: rows})


def _snapshot(ledger: Ledger, version: int, members: dict[str, int]) -> None:
    ledger.snapshot(members, version)


def _export(ledger: Ledger, version: int, uri: str) -> None:
    ledger.write(events.DatasetExported(DATASET, version, uri, ROWS, "ab" * 32))


def _register(
    ledger: Ledger,
    model: str,
    version: str,
    registry: str,
    snapshot: int | None,
    inputs: list[Seen],
) -> None:
    ledger.write(
        events.ModelRegistered(
            model=model,
            version=version,
            registry=registry,
            dataset=None if snapshot is None else DATASET,
            snapshot=snapshot,
            rows=0 if snapshot is None else ROWS,
            purpose="TRAINING",
            inputs=[_input(seen) for seen in inputs],
        )
    )


def _input(seen: Seen) -> ModelInput:
    role = InputRole(seen.read.role or "TRAIN")
    kind = seen.read.thing.partition(":")[0]
    if kind == "ours":
        return ModelInput(InputKind.SNAPSHOT, "", DATASET, seen.version, role)
    if kind == "model":
        return ModelInput(InputKind.MODEL, *registry_of(seen.read.thing), seen.version, role)
    where = placed(seen.read.thing, 0, frozenset())
    shape = InputKind.MODEL if seen.read.thing == "outside:bert" else InputKind.TABLE
    return ModelInput(shape, where.namespace, where.name, seen.version, role)


def _declare(ledger: Ledger, namespace: str, name: str) -> None:
    ledger.write(events.ExternalDeclared(namespace, name, None, withdrawn=False, reason="public"))


def _alias(ledger: Ledger, one: Name, other: Name) -> None:
    first, second = DatasetName(one.namespace, one.name), DatasetName(other.namespace, other.name)
    ledger.write(events.LineageAliased(*first, *second, withdrawn=False, reason="the same"))


_WRITE: dict[str, Any] = {
    "receive": _receive,
    "admit": _admit,
    "recall": _recall,
    "snapshot": _snapshot,
    "export": _export,
    "register": _register,
    "declare": _declare,
    "alias": _alias,
}
