"""Whether one record is in a version of the admitted dataset: its data files are asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from lazaretto.dataset.contents import holds_any
from lazaretto.dataset.history import version_files
from lazaretto.errors import ChangedFileError, LazarettoError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.deletions import deletion_of
from lazaretto.ledger.events import BatchAdmitted, BatchJudged, RecordsDecided, TrainingSanitized
from lazaretto.lineage.openlineage import naming
from lazaretto.lineage.trace.answer import RecordState
from lazaretto.lineage.trace.summary import label
from lazaretto.lineage.trace.walk import direct, without
from lazaretto.quarantine.held import POSITION, RECORD
from lazaretto.quarantine.in_force import in_force
from lazaretto.quarantine.standing import as_decisions
from lazaretto.storage.sidecars import read_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection, Row

    from lazaretto.ledger.chain import Entry
    from lazaretto.lineage.trace.walk import Reached
    from lazaretto.storage.store import Store
    from lazaretto.values import StoredFile


def state_of_record(
    connection: Connection, store: Store, reached: Reached, batch: str, record: str
) -> tuple[RecordState, set[int]]:
    """What became of a record, and which dataset versions of the walk do not hold it.

    Asked are the versions that name the batch: one that builds on another and does not name it has
    the same data files of it. A version that cannot be read counts as holding it. Whether it was
    held, and what was decided, is told by the ledger and the files that it names.
    """
    absent: set[int] = set()
    doubtful: set[int] = set()
    for key in direct(reached):
        holds = _holds(connection, store, reached.nodes[key], batch, record)
        if not holds:
            (doubtful if holds is None else absent).add(key)
    present = without(reached, absent | doubtful).held.rows
    somewhere = without(reached, absent)
    unchecked = sorted(
        label(row)
        for key, row in somewhere.nodes.items()
        if key not in present and (key in doubtful or key in somewhere.held.rows)
    )
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
    admitted = publication.event if publication else None
    state = RecordState(
        record=record,
        held=is_held,
        case=held.case,
        action=held.action,
        decision=held.decision,
        decided_by=held.decided_by,
        publication=admitted.part if isinstance(admitted, BatchAdmitted) else None,
        approved_by=admitted.approved_by if isinstance(admitted, BatchAdmitted) else [],
        published_by=publication.actor.id if publication else None,
        present_in=[label(reached.nodes[key]) for key in sorted(present)],
        unchecked=unchecked,
    )
    return state, absent


def _holds(
    connection: Connection, store: Store, node: Row[Any], batch: str, record: str
) -> bool | None:
    """None: the version is on no record of ours, or a data file of it was lost or changed."""
    dataset = node.name.rsplit("/", 1)[-1]
    if naming.admitted(store.root, dataset) != (node.namespace, node.name):
        return None
    named = pa.array([record, f"{batch}#{record}"])
    try:
        files = version_files(connection, dataset, int(node.version))
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
