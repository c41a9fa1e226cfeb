"""Data files of a dataset that nothing needs any longer, by one fold of the whole ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.authority.holds import holds_on
from lazaretto.authority.policies import policy_in_force
from lazaretto.dataset.recorded import added_files, removed_files
from lazaretto.dataset.state import VersionEvent
from lazaretto.health.every_entry import every_entry
from lazaretto.incidents.recorded import OPEN
from lazaretto.ledger.events import (
    BatchAdmitted,
    DatasetPruned,
    DatasetSetBack,
    HoldPlaced,
    IncidentOpened,
    PolicyRegistered,
    RowsLost,
    SnapshotTaken,
)
from lazaretto.storage import tables
from lazaretto.values import HoldKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import DataFile, PolicyRef

_MATTERS = (
    SnapshotTaken.kind,
    RowsLost.kind,
    DatasetSetBack.kind,
    DatasetPruned.kind,
    IncidentOpened.kind,
    HoldPlaced.kind,
    PolicyRegistered.kind,
)
"""What may make a file needed again. Who admits, recalls or puts files together does not."""


@dataclass(frozen=True, slots=True)
class Unused:
    """A data file that the newest version of its dataset has no longer, and that nothing needs.

    Attributes:
        path: in the store.
        bytes: its size.
        since: when it left the dataset, UTC.
    """

    path: str
    bytes: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """What retention says of a dataset's data files.

    Attributes:
        due: files that nothing needs, and that the policy keeps no longer.
        waiting: files that nothing needs, and that it still keeps.
        again: paths of files that were deleted before, and that may be there.
        needed: how many files only snapshots need, and traces of what reviewers released.
        policy: in force; None: there is none.
        days: so long it keeps such files; None: for ever.
        kept: why nothing is deleted now, in words; None: nothing is in the way.
        until: last ledger entry that was read.
    """

    due: list[Unused]
    waiting: list[Unused]
    again: list[str]
    needed: int
    policy: PolicyRef | None
    days: int | None
    kept: str | None
    until: int


@dataclass(slots=True)
class _Fold:
    """Data files of one dataset, by path."""

    dataset: str
    here: dict[str, list[DataFile]] = field(default_factory=dict)
    left: dict[str, tuple[datetime, list[DataFile]]] = field(default_factory=dict)
    needed: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    lost: set[tuple[str, str]] = field(default_factory=set)
    until: int = 0

    def add(self, entry: Entry) -> None:
        self.until = entry.seq
        event = entry.event
        if getattr(event, "dataset", None) != self.dataset:
            return
        if isinstance(event, SnapshotTaken):
            # Every file of a snapshot was named by it, or by one that it builds on.
            self.needed |= {file.file.path for file in event.files}
        if isinstance(event, DatasetPruned):
            self.deleted |= set(event.files)
        if isinstance(event, VersionEvent):
            self._version(event, entry.at)

    def _version(self, event: VersionEvent, at: datetime) -> None:
        for path in removed_files(event):
            files = self.here.pop(path, [])
            if isinstance(event, RowsLost):
                # Gone, or evidence of how it was lost.
                self.lost |= {(file.batch, file.part) for file in files}
            else:
                self.left[path] = at, files
        for file in added_files(event):
            path = file.file.path
            self.here.setdefault(path, []).append(file)
            self.left.pop(path, None)
            self.deleted.discard(path)
        if isinstance(event, BatchAdmitted):
            self.lost.discard((event.batch, event.part))
            if event.case is not None:
                # A trace reads in them which publication let a record in.
                self.needed |= {file.file.path for file in event.files}

    def unused(self) -> Iterator[Unused]:
        for path, (at, files) in sorted(self.left.items()):
            # What is lost may be admitted again, in a file of the same name.
            again = any((file.batch, file.part) in self.lost for file in files)
            if path not in self.needed and path not in self.deleted and not again:
                yield Unused(path, files[0].file.size, at)


def find_unused(workspace: Workspace, dataset: str, now: datetime) -> Plan:
    """Reads the whole ledger in one view.

    Args:
        workspace: catalog and store.
        dataset: its name.
        now: from when the days count back.

    Raises:
        LedgerError: the ledger does not hold, so that nobody can say what is needed.
        PolicyError: the policy in force cannot be read by this version.
        ChangedStateError: the catalog does not say what the ledger says.
    """
    fold = _Fold(dataset)
    with workspace.catalog.read() as connection:
        for entry in every_entry(connection):
            fold.add(entry)
        known = policy_in_force(connection, dataset)
        kept = _in_the_way(connection, dataset)
    days = None if known is None else known.rules.retention.replaced_days
    due: list[Unused] = []
    waiting: list[Unused] = []
    for one in fold.unused():
        old = days is not None and one.since + timedelta(days=days) <= now
        (due if old else waiting).append(one)
    return Plan(
        due=due,
        waiting=waiting,
        again=sorted(fold.deleted),
        needed=len((fold.needed & fold.left.keys()) - fold.deleted),
        policy=None if known is None else known.event.policy,
        days=days,
        kept=kept,
        until=fold.until,
    )


def changed_since(connection: Connection, plan: Plan, dataset: str) -> bool:
    """Under the writers' lock: whether anything happened since that may need a file.

    Args:
        connection: of the catalog.
        plan: that was made.
        dataset: its name.
    """
    ledger = tables.ledger.c
    query = sa.select(ledger.seq).where(ledger.seq > plan.until, ledger.kind.in_(_MATTERS))
    return connection.execute(query.limit(1)).first() is not None or (
        _in_the_way(connection, dataset) != plan.kept
    )


def _in_the_way(connection: Connection, dataset: str) -> str | None:
    """Why nothing is deleted now, in words. An incident may come to ask after any version."""
    table = tables.incident.c
    query = sa.select(table.id).where(table.state == OPEN).order_by(table.seq)
    incident = connection.scalar(query.limit(1))
    if incident is not None:
        return f"incident {incident} is open"
    holds = holds_on(connection, HoldKind.PUBLISHING, dataset)
    return holds[0].words if holds else None
