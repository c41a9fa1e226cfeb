"""Whether one record is in a version of the admitted dataset: its data files are asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.batch import records
from lazaretto.dataset.contents import holds_any
from lazaretto.dataset.history import version_files
from lazaretto.errors import ChangedFileError, LazarettoError, NotFoundError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.deletions import deletion_of
from lazaretto.ledger.events import BatchAdmitted, BatchJudged, RecordsDecided, TrainingSanitized
from lazaretto.lineage.openlineage import naming
from lazaretto.lineage.trace.answer import RecordState
from lazaretto.lineage.trace.holdings import Change, holdings
from lazaretto.policy import Columns
from lazaretto.quarantine.held import POSITION, RECORD
from lazaretto.quarantine.in_force import in_force
from lazaretto.quarantine.standing import as_decisions
from lazaretto.received import load_batch, open_stored
from lazaretto.storage.sidecars import read_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
    from lazaretto.lineage.trace.holdings import Dataset
    from lazaretto.lineage.trace.world import World
    from lazaretto.storage.store import Store
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import ColumnRoles, StoredFile


class Whereabouts(NamedTuple):
    """In which versions of admitted datasets a record is.

    Attributes:
        changes: by dataset, the versions with which it came and left; each counts all records of
            its batch.
        present: versions (``dataset@version``) from which on it was found.
        unchecked: versions that could not be read, which count as if it was in them.
    """

    changes: dict[Dataset, list[Change]]
    present: list[str]
    unchecked: list[str]


def whereabouts(world: World, store: Store, batch: int, record: str) -> Whereabouts:
    """Asks the data files of each version with which something of a batch came or left.

    Only datasets that the ledger tells of are asked: no address that an event names is opened.

    Args:
        world: the graph.
        store: of the workspace.
        batch: id of the batch's node.
        record: its id within the batch.
    """
    found = Whereabouts({}, [], [])
    name = world.told.nodes[batch].version
    whole = holdings(world.told, {batch})
    for dataset, holding in whole.items():
        asked: dict[int, bool | None] = {}
        before = 0
        for version, rows in zip(*holding.counts[batch], strict=True):
            holds = rows > 0 and _holds(world.catalog, store, dataset, version, name, record)
            asked[version] = holds
            if holds is None:
                found.unchecked.append(_label(dataset, version))
            now = 0 if holds is False else rows
            found.changes.setdefault(dataset, []).append(Change(version, batch, now - before))
            before = now
        for row in world.told.by_dataset[dataset]:
            last = max((v for v in asked if v <= int(row.version)), default=None)
            if last is not None and asked[last]:
                found.present.append(_label(dataset, int(row.version)))
    return found


def _label(dataset: Dataset, version: int) -> str:
    return f"{dataset.name.rsplit('/', 1)[-1]}@{version}"


def state_of_record(
    connection: Connection, workspace: Workspace, where: Whereabouts, batch: str, record: str
) -> RecordState:
    """What became of a record: whether it was held, and what was decided.

    The ledger tells that, and the files that it names.

    Raises:
        NotFoundError: the batch has no such record, as far as its stored copy says.
    """
    store, unchecked = workspace.store, list(where.unchecked)
    is_held: bool | None = None
    held, publication = _Held(None), None
    try:
        found = _held(connection, store, batch, record)
        is_held = found is not None
        if found is not None:
            held = found
            publication = _published(connection, store, batch, record, found)
    except ChangedFileError as error:
        gone = deletion_of(connection, batch, error.path)
        unchecked.append(error.path if gone is None else f"{error.path} ({gone.words})")
    if not (where.present or where.unchecked or is_held):
        there = _is_in_batch(workspace, batch, record)
        if there is False:
            raise NotFoundError(f"the batch {batch} has no record {record!r}")
        if there is None:
            unchecked.append(f"the records of {batch}, so whether this one is among them")
    admitted = publication.event if publication else None
    return RecordState(
        record=record,
        held=is_held,
        case=held.case,
        action=held.action,
        decision=held.decision,
        decided_by=held.decided_by,
        publication=admitted.part if isinstance(admitted, BatchAdmitted) else None,
        approved_by=admitted.approved_by if isinstance(admitted, BatchAdmitted) else [],
        published_by=publication.actor.id if publication else None,
        present_in=where.present,
        unchecked=unchecked,
    )


def _is_in_batch(workspace: Workspace, batch: str, record: str) -> bool | None:
    """Whether a batch has a record; None: that cannot be told, or not any more."""
    try:
        received = load_batch(workspace, batch)
        roles = _roles(workspace, batch)
        if roles is None:
            return None
        columns = Columns(record_id=roles.record_id)
        wanted = pa.scalar(record)
        stored = open_stored(workspace, received)
        return any(pc.any(pc.equal(ids, wanted)).as_py() for ids, _ in records(stored, columns))
    except LazarettoError:
        return None


def _roles(workspace: Workspace, batch: str) -> ColumnRoles | None:
    """Which column has the ids, by the newest judgement; None: it was not judged."""
    with workspace.catalog.read() as connection:
        kinds = [BatchJudged.kind]
        found = entries(connection, subject=f"batch:{batch}", kinds=kinds, newest_first=True)
        event = next((entry.event for entry in found), None)
    return event.columns if isinstance(event, BatchJudged) else None


def _holds(
    connection: Connection, store: Store, dataset: Dataset, version: int, batch: str, record: str
) -> bool | None:
    """None: the dataset is not of this store, or a data file of it was lost or changed."""
    name = dataset.name.rsplit("/", 1)[-1]
    if naming.admitted(store.root, name) != (dataset.namespace, dataset.name):
        return None
    named = pa.array([record, f"{batch}#{record}"])
    try:
        files = version_files(connection, name, version)
        return holds_any(store, files, {batch: named})
    except (LazarettoError, ValueError):
        return None


class _Held(NamedTuple):
    """The newest case that holds a record, and the decision in force on it, by the ledger."""

    case: str | None
    action: str | None = None
    decision: str | None = None
    decided_by: str | None = None


def _held(connection: Connection, store: Store, batch: str, record: str) -> _Held | None:
    """The case and the decision on a record; None where no case holds it.

    Raises:
        ChangedFileError: the file of a case, or of a decision on it, is gone or was changed.
    """
    for case, file in _cases(connection, batch):
        held = read_table(store, file, columns=[POSITION, RECORD])
        mine = held.filter(pc.equal(held[RECORD], record))
        if mine.num_rows:
            kinds = [RecordsDecided.kind]
            decided = as_decisions(entries(connection, subject=f"case:{case}", kinds=kinds))
            decision = in_force(store, decided).at(mine[POSITION][0].as_py())
            if decision is None:
                return _Held(case)
            return _Held(case, decision.action.value, decision.id, decision.actor.id)
    return None


def _published(
    connection: Connection, store: Store, batch: str, record: str, held: _Held
) -> Entry | None:
    """The newest publication by the decision in force on a record whose data files have it.

    Raises:
        ChangedFileError: such a file is gone or was changed.
    """
    named = {batch: pa.array([record, f"{batch}#{record}"])}
    kinds = [BatchAdmitted.kind]
    for entry in entries(connection, subject=f"batch:{batch}", kinds=kinds, newest_first=True):
        event = entry.event
        if (
            isinstance(event, BatchAdmitted)
            and event.case == held.case
            and any(held.decision == release.decision for release in event.releases)
            and holds_any(store, event.files, named)
        ):
            return entry
    return None


def _cases(connection: Connection, batch: str) -> Iterator[tuple[str, StoredFile]]:
    """Cases of a batch, newest first, each with the file of its records."""
    kinds = [BatchJudged.kind, TrainingSanitized.kind]
    for entry in entries(connection, kinds=kinds, newest_first=True):
        match entry.event:
            case BatchJudged(batch=str() as of, case=str() as case) as event:
                if of == batch and event.held_records is not None:
                    yield case, event.held_records
            case TrainingSanitized() as event:
                mine = (opened for opened in event.cases if opened.batch == batch)
                yield from ((opened.case, opened.held_records) for opened in mine)
