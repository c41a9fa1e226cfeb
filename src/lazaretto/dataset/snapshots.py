"""Snapshots on record: each is kept as what changed since an earlier one, and read back whole."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import rfc8785
import sqlalchemy as sa

from lazaretto.dataset.state import snapshot_columns
from lazaretto.errors import ChangedStateError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.cover import agree, event_of
from lazaretto.ledger.events import SnapshotTaken
from lazaretto.storage import tables
from lazaretto.values import DataFile, Member

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy.engine import Connection, Row

    from lazaretto.ledger.chain import Entry


@dataclass(frozen=True, slots=True)
class WholeSnapshot:
    """A snapshot with everything that its entry and those before it say.

    Attributes:
        seq: ledger entry.
        event: what that entry says: differences, or all.
        files: every data file of the version, by `DataFile.key`.
        cost: how many entries, and lines of them, say differences since one that says all.
    """

    seq: int
    event: SnapshotTaken
    files: Mapping[str, DataFile]
    cost: int

    @property
    def in_order(self) -> list[DataFile]:
        """Its data files, by path and place."""
        return in_order(self.files.values())


def in_order(files: Iterable[DataFile]) -> list[DataFile]:
    """Data files by path, and the stretches of one as they lie there."""
    return sorted(files, key=lambda file: (file.file.path, file.start or 0))


def take_out(files: dict[str, DataFile], paths: Iterable[str]) -> list[str]:
    """Takes files out of a version, each with all its stretches.

    Args:
        files: of the version, by `DataFile.key`; changed.
        paths: of those that go.

    Returns:
        Paths of which it had none.
    """
    rest = {path for path in paths if files.pop(path, None) is None}
    if rest:
        gone = {key: file.file.path for key, file in files.items() if file.file.path in rest}
        for key in gone:
            del files[key]
        rest -= set(gone.values())
    return sorted(rest)


def members(files: Iterable[DataFile]) -> list[Member]:
    """Batches with their rows, by id."""
    rows: Counter[str] = Counter()
    for file in files:
        rows[file.batch] += file.rows
    return [Member(batch, count) for batch, count in sorted(rows.items())]


def version_digest(schema: str, files: Iterable[DataFile]) -> str:
    """sha256 (hex) of a version: RFC 8785 of its columns and path, size, sha256 of its files.

    Of a file that it may share with other batches, start and rows of each stretch are named, too: a
    training view has some of them.

    Args:
        schema: sha256 (hex) of its columns.
        files: its data files, in any order.
    """
    named = [
        [one.file.path, one.file.size, one.file.sha256]
        + ([] if one.start is None else [one.start, one.rows])
        for one in files
    ]
    body = {"schema": schema, "files": sorted(named)}
    return hashlib.sha256(rfc8785.dumps(body)).hexdigest()  # type: ignore[arg-type]


def as_differences(event: SnapshotTaken, base: WholeSnapshot | None) -> SnapshotTaken:
    """A snapshot as what changed since an earlier one, where that is shorter in the long run.

    All is said again once the differences would be as long, with an entry counted as a line. So
    what is written grows with what a dataset gains, and reading a snapshot takes at most as long
    again as reading all that it holds.

    Args:
        event: that says all.
        base: the newest snapshot of a lower version; None: there is none.
    """
    if base is None:
        return event
    files = [file for file in event.files if base.files.get(file.key) != file]
    there = {file.file.path for file in event.files}
    gone = [file for file in base.files.values() if file.file.path not in there]
    removed = sorted({file.file.path for file in gone})
    touched = {file.batch for file in (*files, *gone)}
    rows = {member.batch: member.rows for member in event.members}
    changed = [Member(batch, rows.get(batch, 0)) for batch in sorted(touched)]
    short = replace(event, since=base.event.version, files=files, removed=removed, members=changed)
    return short if base.cost + cost_of(short) < cost_of(event) else event


def newest_snapshot(connection: Connection, dataset: str, until: int) -> WholeSnapshot | None:
    """The snapshot of the highest version up to one; None where none was taken.

    Raises:
        ChangedStateError: the catalog does not say what the ledger says.
    """
    table = tables.snapshot
    query = (
        sa.select(table)
        .where(table.c.dataset == dataset, table.c.version <= until)
        .order_by(table.c.version.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else read_snapshot(connection, row)


def read_snapshot(connection: Connection, row: Row[Any]) -> WholeSnapshot:
    """What the ledger says of a snapshot; its data files are those that its digest is of.

    Raises:
        ChangedStateError: its row in the catalog says something else, or an entry before it, which
            it builds on, is not there.
    """
    key = f"{row.dataset}@{row.version}"
    entry, event = event_of(connection, "snapshot", key, row, SnapshotTaken)
    agree("snapshot", key, row, snapshot_columns(event))
    files: dict[str, DataFile] = {}
    steps = _steps(connection, entry, event)
    for step in reversed(steps):
        take_out(files, step.removed)
        files |= {file.key: file for file in step.files}
    if version_digest(event.schema, files.values()) != event.digest:
        raise ChangedStateError("snapshot", key, "its digest is not that of the files on record")
    return WholeSnapshot(entry.seq, event, files, sum(map(cost_of, steps[:-1])))


def _steps(connection: Connection, entry: Entry, event: SnapshotTaken) -> list[SnapshotTaken]:
    """A snapshot and those that it builds on, back to one that says all."""
    steps = [event]
    earlier = entries(
        connection,
        until=entry.seq - 1,
        kinds=[SnapshotTaken.kind],
        subject=f"dataset:{event.dataset}",
        newest_first=True,
    )
    while (since := steps[-1].since) is not None:
        found = next((one.event for one in earlier if _is_of(one.event, since)), None)
        if not isinstance(found, SnapshotTaken):
            key = f"{event.dataset}@{event.version}"
            problem = f"it builds on version {since}, of which no earlier snapshot was taken"
            raise ChangedStateError("snapshot", key, problem)
        steps.append(found)
    return steps


def _is_of(event: object, version: int) -> bool:
    return isinstance(event, SnapshotTaken) and event.version == version


def cost_of(event: SnapshotTaken) -> int:
    """How much an entry says: itself and its lines."""
    return 1 + len(event.members) + len(event.files) + len(event.removed)
