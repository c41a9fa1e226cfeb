"""Makes the state rows anew from the whole ledger, by what each room says that its entries do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto import received
from lazaretto.authority import holds, judgements, policies
from lazaretto.dataset import state
from lazaretto.dataset.contents import record_ids
from lazaretto.errors import ChangedFileError
from lazaretto.incidents import recorded as incidents
from lazaretto.ledger.differences import Difference
from lazaretto.ledger.events import BatchAdmitted, PayloadDeleted, RecordsDecided
from lazaretto.ledger.state import Pending
from lazaretto.quarantine import decisions, handling, opening
from lazaretto.quarantine.intent import publication_id
from lazaretto.quarantine.released import RELEASING
from lazaretto.registry import references
from lazaretto.sources import recorded
from lazaretto.storage import tables
from lazaretto.storage.column_types import metadata
from lazaretto.storage.sidecars import read_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
    from lazaretto.ledger.state import Change
    from lazaretto.storage.store import Store

ROOMS = (
    recorded.changes,
    received.changes,
    references.changes,
    policies.changes,
    judgements.changes,
    state.changes,
    opening.changes,
    decisions.changes,
    handling.changes,
    incidents.changes,
    holds.changes,
)
"""What an entry does, room by room, in the order in which rows refer to each other."""

# The ledger itself; how far projections of it have come; the catalog's id, which its store must
# have as well; the lineage index, which has a check of its own, and what other tools claim; and the
# index of records, which follows from the datasets' data files.
_NO_STATE = (
    "ledger",
    "ledger_head",
    "projection",
    "workspace",
    *tables.LINEAGE,
    *tables.RECORD_INDEX,
)
STATE = [table for table in metadata.sorted_tables if table.name not in _NO_STATE]
"""Tables that the ledger alone fills, those that others refer to first."""
RECORDS = (tables.held_record, tables.case_count, tables.decision_record)
"""Those of them that repeat what files of the store say, record by record, or count it."""

_held = tables.held_record
_RELEASING = [action.value for action in RELEASING]
_AT_ONCE = 10_000  # bound parameters of one statement: SQLite takes 32,766


def changes(entry: Entry) -> Iterator[Change]:
    """What an entry does to the catalog."""
    for room in ROOMS:
        yield from room(entry)


@dataclass(slots=True)
class Fold:
    """Takes entries in order, and keeps the rows that follow from them.

    Attributes:
        rows: connection of a database of its own, with empty tables.
        store: where the files of held and decided records are; None: those tables stay empty.
        pending: what is not written yet.
        unreadable: cases whose files are gone or changed, so that their records are not known.
        deleted: those of them whose files retention deleted.
        paths: files of all cases, by path, with the cases that they are of.
        unproven: by publication, its case and how many records it is of, where the decisions
            that stood when it went on record do not say which.
    """

    rows: Connection
    store: Store | None
    pending: Pending = field(init=False)
    unreadable: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    paths: dict[str, set[str]] = field(default_factory=dict)
    unproven: dict[str, tuple[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pending = Pending(self.rows)

    def add(self, entry: Entry) -> None:
        """Takes the next entry."""
        self.pending.add(changes(entry))
        if entry.seq % _AT_ONCE == 0:
            self.pending.flush()
        if self.store is None:
            return
        for case, file in opening.held_files(entry.event):
            self.paths.setdefault(file.path, set()).add(case)
        if isinstance(entry.event, PayloadDeleted):
            for path in entry.event.files:
                self.deleted |= self.paths.get(path, set())
        try:
            opening.index_held(self.rows, self.store, entry.event)
        except ChangedFileError:
            self.unreadable |= {case for case, _ in opening.held_files(entry.event)}
        match entry.event:
            case RecordsDecided() as event:
                self._decide(self.store, event)
            case BatchAdmitted(case=str() as case) as event:
                self._publish(self.store, case, event)

    def finish(self, catalog: Connection) -> Iterator[Difference]:
        """Takes over from the catalog which records were published, where the ledger is silent.

        A publication may be on its way, and somebody can decide on other records between its
        intent and its entry. Its id is a digest of its records and of the decisions on them, so
        that the catalog's rows are believed only where they prove it.

        Args:
            catalog: connection of the catalog.

        Yields:
            Publications of the ledger whose records the catalog does not have.
        """
        self.pending.flush()
        known = set(self.rows.scalars(sa.select(_held.c.part).distinct()))
        parts = sa.select(_held.c.case_id, _held.c.part).where(_held.c.part.is_not(None)).distinct()
        for case, part in catalog.execute(parts).all():
            if part in known:
                continue
            mine = sa.select(_held.c.position).where(_held.c.case_id == case, _held.c.part == part)
            positions = list(catalog.scalars(mine.order_by(_held.c.position)))
            if self._is_of(case, part, dict(self._decided(case, positions))):
                self.unproven.pop(part, None)
        for part, (case, count) in self.unproven.items():
            if case not in self.unreadable:
                words = f"of {case}: the {count} records of {part}"
                yield Difference(_held.name, words, "missing")

    def _publish(self, store: Store, case: str, event: BatchAdmitted) -> None:
        """Marks what was released and not yet published, where it is what the entry names.

        Where that is more, because somebody released others between the intent and the entry, the
        entry's data files tell which records it is of.
        """
        self.pending.flush()
        again = sa.select(_held.c.part).where(_held.c.case_id == case, _held.c.part == event.part)
        if self.rows.scalar(again.limit(1)) is not None:
            return  # what was lost was published again
        columns = (_held.c.position, _held.c.decision, _held.c.record_id)
        mine = (_held.c.case_id == case) & _held.c.action.in_(_RELEASING) & _held.c.part.is_(None)
        query = sa.select(*columns).where(mine).order_by(_held.c.position)
        released = self.rows.execute(query).all()
        if self._is_of(case, event.part, {row.position: row.decision for row in released}):
            return
        entered = _entered(store, event)
        of_it = {row.position: row.decision for row in released if row.record_id in entered}
        if not self._is_of(case, event.part, of_it):
            self.unproven[event.part] = case, event.rows

    def _is_of(self, case: str, part: str, released: dict[int, str]) -> bool:
        """Whether a publication is of these records; they are marked if so."""
        proven = publication_id(case, released.items()) == part
        for some in _chunks(list(released) if proven else []):
            of_it = _held.update().where(_held.c.case_id == case, some)
            self.rows.execute(of_it.values(part=part))
        return proven

    def _decided(self, case: str, positions: list[int]) -> Iterator[tuple[int, str]]:
        columns = (_held.c.position, _held.c.decision)
        for some in _chunks(positions):
            query = sa.select(*columns).where(_held.c.case_id == case, some)
            rows = self.rows.execute(query.order_by(_held.c.position))
            yield from ((row.position, row.decision) for row in rows)

    def _decide(self, store: Store, event: RecordsDecided) -> None:
        try:
            ids = read_table(store, event.ids, columns=["position"])
        except ChangedFileError:
            self.unreadable.add(event.case)
            return
        self.pending.flush()
        decisions.index_decided(self.rows, event, ids["position"].to_pylist())


def _entered(store: Store, event: BatchAdmitted) -> set[str]:
    """Ids of the records in the data files of an admission; none where one cannot be read."""
    try:
        chunks = [ids for _, ids in record_ids(store, event.files, [event.batch])]
    except ChangedFileError:
        return set()
    return {record for ids in chunks for record in ids.to_pylist()}


def _chunks(positions: list[int]) -> Iterator[sa.ColumnElement[bool]]:
    for start in range(0, len(positions), _AT_ONCE):
        yield _held.c.position.in_(positions[start : start + _AT_ONCE])
