"""What the ledger says of a dataset: its newest version, and the data files of each version."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.dataset.recorded import Grown, Recorded, as_version, removed_files
from lazaretto.dataset.snapshots import in_order, newest_snapshot, take_out
from lazaretto.dataset.state import (
    VersionEvent,
    admission_columns,
    compaction_columns,
    lost_columns,
    newest_columns,
    recall_columns,
)
from lazaretto.errors import ChangedStateError
from lazaretto.ledger.chain import entries, newest
from lazaretto.ledger.cover import agree, covering, covering_each, event_of
from lazaretto.ledger.events import (
    BatchAdmitted,
    DatasetCompacted,
    DatasetGrown,
    RecordsRecalled,
    RowsLost,
)
from lazaretto.storage import tables
from lazaretto.values import DataFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection, Row

    from lazaretto.ledger.chain import Entry

_TABLES = (tables.admission, tables.recall, tables.lost_part, tables.compaction)
"""A row of each is a version of its dataset; versions with more columns are on the ledger alone."""


def find_newest(connection: Connection, dataset: str) -> Recorded | None:
    """The newest version of a dataset; None while nothing was admitted to it.

    Raises:
        ChangedStateError: the catalog does not say what the ledger says.
    """
    query = sa.select(tables.dataset).where(tables.dataset.c.name == dataset)
    row = connection.execute(query).one_or_none()
    last = _last_version(connection, dataset)
    if row is None or row.seq is None:
        if last is not None:
            raise ChangedStateError("dataset", dataset, f"it has no version, {last} was admitted")
        return None
    entry = covering(connection, "dataset", dataset, row)
    event = entry.event
    if not isinstance(event, VersionEvent):
        raise ChangedStateError("dataset", dataset, f"ledger entry {entry.seq} is a {entry.kind}")
    agree("dataset", dataset, row, newest_columns(event))
    if last != event.version:
        problem = f"its newest version is {event.version}, admissions and recalls end at {last}"
        raise ChangedStateError("dataset", dataset, problem)
    before: list[Entry] = []
    if isinstance(event, BatchAdmitted) and event.together > 1:
        first = entry.seq - event.together
        before = list(entries(connection, after=first, until=entry.seq - 1))
    return as_version(dataset, event.version, [*before, entry])


def version_files(connection: Connection, dataset: str, version: int) -> list[DataFile]:
    """Every data file of a version that is on record, by path and place.

    Starts at the newest snapshot before it, and follows admissions and recalls from there.

    Raises:
        ChangedStateError: the catalog does not say what the ledger says.
    """
    start, files = 0, dict[str, DataFile]()
    taken = newest_snapshot(connection, dataset, version)
    if taken is not None:
        start, files = taken.event.version, dict(taken.files)
    for expected, recorded in enumerate(
        versions_between(connection, dataset, start, version), start + 1
    ):
        event = recorded.event
        problem = None if event.version == expected else f"version {expected} is missing"
        if strange := take_out(files, removed_files(event)):
            problem = f"version {expected} removes {strange[0]}, which was not in it"
        if problem is not None:
            raise ChangedStateError("dataset", dataset, problem)
        files |= {file.key: file for file in recorded.files}
        start = expected
    if start != version:
        raise ChangedStateError("dataset", dataset, f"version {version} is missing")
    return in_order(files.values())


def read_admission(connection: Connection, row: Row[Any]) -> BatchAdmitted:
    """What the ledger says of an admission.

    Raises:
        ChangedStateError: its row in the catalog says something else.
    """
    event = _recorded(connection, tables.admission, row).event
    assert isinstance(event, BatchAdmitted)  # noqa: S101  what `_recorded` asked for
    return event


def read_admissions(connection: Connection, rows: Sequence[Row[Any]]) -> list[BatchAdmitted]:
    """The same of some admissions, whose entries are read at once.

    Raises:
        ChangedStateError: a row in the catalog says something else.
    """
    found = {str(number): row for number, row in enumerate(rows)}
    events = []
    for number, entry in covering_each(connection, "admission", found).items():
        row, event = found[number], entry.event
        key = f"{row.batch} {row.part}"
        if not isinstance(event, BatchAdmitted):
            raise ChangedStateError("admission", key, f"ledger entry {row.seq} is a {entry.kind}")
        agree("admission", key, row, admission_columns(event))
        events.append(event)
    return events


def lost_since(connection: Connection, dataset: str, batch: str, part: str, version: int) -> bool:
    """Whether what was admitted is lost, so that it may be admitted again.

    Args:
        connection: of the catalog.
        dataset: its name.
        batch: whose records.
        part: ``cleared``, or the publication that admitted them.
        version: that the admission made.

    Raises:
        ChangedStateError: the catalog does not say what the ledger says.
    """
    table = tables.lost_part
    query = sa.select(table).where(
        table.c.dataset == dataset,
        table.c.batch == batch,
        table.c.part == part,
        table.c.version > version,
    )
    rows = connection.execute(query).all()
    for row in rows:
        _read_lost(connection, row)  # raises where the ledger says something else
    return bool(rows)


def read_recall(connection: Connection, row: Row[Any]) -> tuple[Entry, RecordsRecalled]:
    """What the ledger says of a recall.

    Raises:
        ChangedStateError: its row in the catalog says something else.
    """
    entry, event = event_of(connection, "recall", row.id, row, RecordsRecalled)
    agree("recall", row.id, row, recall_columns(event, entry.actor))
    return entry, event


def _last_version(connection: Connection, dataset: str) -> int | None:
    each = [sa.select(sa.func.max(t.c.version)).where(t.c.dataset == dataset) for t in _TABLES]
    ends = list(connection.scalars(sa.union_all(*each)))
    grown = newest(connection, f"dataset:{dataset}", [DatasetGrown.kind])
    if grown is not None and isinstance(grown.event, DatasetGrown):
        ends.append(grown.event.version)
    return max((end for end in ends if end is not None), default=None)


def versions_between(
    connection: Connection, dataset: str, after: int, until: int
) -> list[Recorded]:
    """What made the versions behind one, in order; each version once.

    Args:
        connection: of the catalog.
        dataset: its name.
        after: version to start behind.
        until: the last one.

    Raises:
        ChangedStateError: the catalog does not say what the ledger says.
    """
    found: dict[int, dict[int, Entry]] = defaultdict(dict)
    for table in _TABLES:
        query = sa.select(table).where(
            table.c.dataset == dataset, table.c.version > after, table.c.version <= until
        )
        for row in connection.execute(query).all():
            recorded = _recorded(connection, table, row)
            found[row.version][recorded.entry.seq] = recorded.entry
    for recorded in growths(connection, dataset):
        if after < recorded.event.version <= until:
            found[recorded.event.version][recorded.entry.seq] = recorded.entry
    return [
        as_version(dataset, version, [said for _, said in sorted(found[version].items())])
        for version in sorted(found)
    ]


def growths(connection: Connection, dataset: str) -> list[Grown]:
    """What made a dataset's columns more or wider, oldest first. Only the ledger has it."""
    found = entries(connection, kinds=[DatasetGrown.kind], subject=f"dataset:{dataset}")
    return [Grown(one, one.event) for one in found if isinstance(one.event, DatasetGrown)]


def grown_columns(connection: Connection, dataset: str, version: int) -> str | None:
    """Columns of a version in Delta's notation; None where they are those of the first version."""
    before = [one.event for one in growths(connection, dataset) if one.event.version <= version]
    return before[-1].columns if before else None


def schema_of(connection: Connection, dataset: str, version: int) -> str | None:
    """sha256 (hex) of a version's columns, as it is on record; None where no version is.

    Version 0, which holds nothing, has those of the first version that was admitted.

    Raises:
        ChangedStateError: the catalog does not say what the ledger says.
    """
    made = versions_between(connection, dataset, max(version, 1) - 1, max(version, 1))
    return made[0].event.schema if made else None


def _recorded(connection: Connection, table: sa.Table, row: Row[Any]) -> Recorded:
    if table is tables.recall:
        return Recorded(*read_recall(connection, row))
    if table is tables.lost_part:
        return _read_lost(connection, row)
    if table is tables.compaction:
        key = f"{row.dataset}@{row.version}"
        entry, compacted = event_of(connection, table.name, key, row, DatasetCompacted)
        agree(table.name, key, row, compaction_columns(compacted))
        return Recorded(entry, compacted)
    key = f"{row.batch} {row.part}"
    entry, event = event_of(connection, "admission", key, row, BatchAdmitted)
    agree("admission", key, row, admission_columns(event))
    return Recorded(entry, event)


def _read_lost(connection: Connection, row: Row[Any]) -> Recorded:
    key = f"{row.batch} {row.part}"
    entry, event = event_of(connection, "lost_part", key, row, RowsLost)
    names = ("dataset", "batch", "part", "version", "rows")
    if {name: getattr(row, name) for name in names} not in lost_columns(event):
        raise ChangedStateError("lost_part", key, f"ledger entry {entry.seq} says something else")
    return Recorded(entry, event)
