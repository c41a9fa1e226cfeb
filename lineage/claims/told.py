"""What the ledger tells of what lies beside it: where batches came from, exports, registrations."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import sqlalchemy as sa

from lazaretto.ledger import events
from lazaretto.ledger.chain import entries
from lazaretto.lineage.claims.bits import ENTRY, MODEL_ENTRY, NO_KIND, NO_MODE, Kind, Mode, State
from lazaretto.lineage.claims.claim import Claim, Used
from lazaretto.lineage.claims.fold import Folded
from lazaretto.lineage.claims.names import STORE, Name, Names, registry
from lazaretto.lineage.claims.stale import mark_stale
from lazaretto.lineage.cursors import Projection, follow, follow_some, lag
from lazaretto.lineage.openlineage.outcomes import purpose_of
from lazaretto.storage.tables import lineage_name
from lazaretto.values import InputKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
    from lazaretto.storage.workspace import Workspace

CURSOR = "claims"
_AT_ONCE = 500
_KINDS = (
    events.BatchReceived.kind,
    events.BatchAdmitted.kind,
    events.RecordsRecalled.kind,
    events.RowsLost.kind,
    events.DatasetExported.kind,
    events.ModelRegistered.kind,
    events.LineageAliased.kind,
)


def take_ledger(workspace: Workspace) -> int:
    """Folds what the ledger has told since; how many entries it moved past."""
    return follow(workspace, _projection())


def fold_ledger(connection: Connection, store_root: str) -> None:
    """Folds the whole ledger, inside the connection's transaction."""
    while lag(connection, CURSOR) > 0:
        follow_some(connection, store_root, _projection())


def _projection() -> Projection:
    return Projection(CURSOR, _KINDS, _AT_ONCE, fold_entries)


def fold_entries(connection: Connection, store_root: str, chunk: Iterable[Entry]) -> None:
    """Folds some entries of the ledger.

    Args:
        connection: of an open `Catalog.transaction`.
        store_root: root of the store.
        chunk: the entries.
    """
    spell = Names(store_root)
    folded = Folded(spell)
    touched: set[str] = set()
    exported: set[Name] = set()
    for entry in chunk:
        for claim in _claims(entry, spell):
            folded.add(claim)
        match entry.event:
            case events.BatchAdmitted() | events.RecordsRecalled() | events.RowsLost() as event:
                touched.add(event.dataset)
            case events.DatasetExported() as event:
                exported.add(spell.uri(event.uri))
            case events.LineageAliased() as event if _in_force(connection, event):
                folded.same(
                    Name(event.namespace, event.name),
                    Name(event.same_namespace, event.same_name),
                )
    for name in exported:
        folded.names[name] |= Kind.EXPORTED
    folded.write(connection)
    names = [f"datasets/{dataset}" for dataset in sorted(touched)]
    query = sa.select(lineage_name.c.id).where(
        lineage_name.c.namespace == STORE, lineage_name.c.name.in_(names)
    )
    mark_stale(connection, list(connection.scalars(query)))


def _in_force(connection: Connection, event: events.LineageAliased) -> bool:
    """Whether two names still are the same: what was taken back later never counts again."""
    both = {(event.namespace, event.name), (event.same_namespace, event.same_name)}
    newest = event
    for entry in entries(connection, kinds=[events.LineageAliased.kind]):
        later = entry.event
        if isinstance(later, events.LineageAliased):
            names = {(later.namespace, later.name), (later.same_namespace, later.same_name)}
            newest = later if names == both else newest
    return not newest.withdrawn


def _claims(entry: Entry, spell: Names) -> Iterator[Claim]:
    match entry.event:
        case events.BatchReceived() as event:
            batch = _used(Name(STORE, f"batches/{event.source}"), event.batch, Kind.BATCH)
            inputs = tuple(_used(name, None) for name in _places(spell.uri(event.uri)))
            yield _claim(entry, inputs, (batch,))
        case events.DatasetExported() as event:
            version = _used(Name(STORE, f"datasets/{event.dataset}"), str(event.version))
            file = _used(spell.uri(event.uri), None, mode=Mode.REPLACED)
            yield _claim(entry, (version,), (file,))
        case events.ModelRegistered() as event:
            made = _used(Name(registry(event.registry), event.model), event.version, Kind.MODEL)
            inputs = tuple(_inputs(event))
            purpose = purpose_of(event)
            yield _claim(entry, inputs, (made,), purpose=purpose, state=State.SOMETIME)
            # One who registers a model without saying what it learned from leaves a gap, until
            # somebody says it.
            state = State.LEDGER if event.learned_from else State.COMPLETE
            whole = f"{made.namespace}\x1f{made.name}\x1f{made.version}"
            digest = hashlib.sha256(whole.encode()).hexdigest()[:32]
            yield replace(_claim(entry, (), (made,), run=f"{MODEL_ENTRY}{digest}"), state=state)
            run = _uuid(event.external_run_id)
            if run is not None:  # whatever that run is known to have read, this model learned from
                yield _claim(entry, (), (made,), run=run)


def _inputs(event: events.ModelRegistered) -> Iterator[Used]:
    """What a registration names, beside the snapshots, which the index tells of."""
    for each in event.inputs:
        role = each.role.value if each.role.weighs else f"~{each.role.value}"
        match each.kind:
            case InputKind.TABLE:
                yield Used(each.namespace, each.name, each.version, role=role)
            case InputKind.MODEL:
                space = registry(each.namespace)
                yield Used(space, each.name, each.version, kind=Kind.MODEL, role=role)


def _places(name: Name) -> tuple[Name, ...]:
    """Where a delivery lay: its file, and the folder of it."""
    folder = Name(name.namespace, name.name.rpartition("/")[0])
    return (name, folder) if folder.name else (name,)


def _used(name: Name, version: str | None, kind: Kind = NO_KIND, mode: Mode = NO_MODE) -> Used:
    return Used(*name, version, kind=kind, mode=mode)


def _claim(
    entry: Entry,
    inputs: tuple[Used, ...],
    outputs: tuple[Used, ...],
    *,
    run: str | None = None,
    purpose: str = "TRAIN",
    state: State = State.LEDGER,
) -> Claim:
    return Claim(
        run=run or f"{ENTRY}{entry.seq}",
        state=state | State.LEDGER,
        at=entry.at,
        namespace="lazaretto",
        job=entry.kind,
        producer="ledger",
        purpose=purpose,
        inputs=inputs,
        outputs=outputs,
    )


def _uuid(text: str | None) -> str | None:
    try:
        return None if text is None else str(UUID(text))
    except ValueError:
        return None
