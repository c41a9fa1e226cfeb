"""Admission: data files, a catalog transaction, a Delta commit; killed in between, it goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.dataset.commit import ATTEMPTS, commit_recorded, find_dataset
from lazaretto.dataset.damage import damage_on_record
from lazaretto.dataset.delta import arrow_schema, as_kept, create_table
from lazaretto.dataset.entering import admitted_event, counted_rows
from lazaretto.dataset.evolve import find_change, look_at_values
from lazaretto.dataset.files import dataset_uri, write_rows
from lazaretto.dataset.grow import grow
from lazaretto.dataset.history import (
    find_newest,
    lost_since,
    read_admission,
    read_recall,
    version_files,
)
from lazaretto.dataset.recorded import Recorded
from lazaretto.dataset.schema import misfit
from lazaretto.dataset.state import changes
from lazaretto.dataset.table import is_behind, is_newest, open_newest
from lazaretto.errors import SystemFaultError, UsageError
from lazaretto.ledger.chain import head
from lazaretto.ledger.meanwhile import moved_since
from lazaretto.ledger.state import record
from lazaretto.storage import tables

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable
    from sqlalchemy.engine import Connection, Row

    from lazaretto.dataset.evolve import Fit
    from lazaretto.dataset.part import Part
    from lazaretto.ledger.events import BatchAdmitted
    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import DataFile

CLEARED = "cleared"


@dataclass(frozen=True, slots=True)
class Admission:
    """What entered the admitted dataset.

    Attributes:
        batch: whose rows.
        dataset: name of the dataset.
        uri: of its Delta table.
        version: Delta version that the commit made; None when there was nothing to admit.
        rows: how many rows of it the dataset has.
        part: ``cleared``, or the id of a publication of reviewed records.
        seqs: ledger entries.
        recalled: the newest recall of the batch, where one took rows of this out again.
    """

    batch: str
    dataset: str
    uri: str
    version: int | None
    rows: int
    part: str = CLEARED
    seqs: list[int] = field(default_factory=list)
    recalled: str | None = None


def find_admission(
    connection: Connection, workspace: Workspace, dataset: str, batch: str, part: str
) -> Admission | None:
    """An admission that is on record, and what recalls left of it.

    One that is lost since is none: it may be made again, unless records of it were recalled.

    Raises:
        ChangedStateError: the catalog does not say what the ledger says.
    """
    table = tables.admission
    query = sa.select(table).where(
        table.c.dataset == dataset, table.c.batch == batch, table.c.part == part
    )
    row = connection.execute(query.order_by(table.c.version.desc()).limit(1)).one_or_none()
    if row is None:
        return None
    found = as_admission(connection, workspace, row)
    lost = lost_since(connection, dataset, batch, part, row.version)
    return None if lost and found.recalled is None else found


def as_admission(connection: Connection, workspace: Workspace, row: Row[Any]) -> Admission:
    """The same from its row in the catalog.

    Raises:
        ChangedStateError: the catalog does not say what the ledger says.
    """
    event = read_admission(connection, row)
    rows, recalled = event.rows, _recalled(connection, event)
    newest = find_newest(connection, event.dataset) if recalled else None
    if newest is not None:
        left = version_files(connection, event.dataset, newest.event.version)
        mine = (event.batch, event.part)
        rows = sum(file.rows for file in left if (file.batch, file.part) == mine)
        recalled = recalled if rows < event.rows else None
    uri = dataset_uri(workspace, event.dataset)
    return Admission(
        event.batch, event.dataset, uri, event.version, rows, event.part, [row.seq], recalled
    )


def is_unused(connection: Connection, dataset: str) -> bool:
    """Whether nothing was admitted to a dataset yet, so that its table is still to be made.

    Raises:
        ChangedStateError: the catalog does not say what the ledger says.
        UsageError: a dataset's name differs from it by letter case alone, which is one folder to
            some stores, and one name to people.
    """
    if find_newest(connection, dataset) is not None:
        return False
    twin = connection.scalar(
        sa.select(tables.dataset.c.name).where(
            sa.func.lower(tables.dataset.c.name) == dataset.lower(),
            tables.dataset.c.name != dataset,
        )
    )
    if twin is not None:
        raise UsageError(
            f"there is a dataset {twin!r} already: letter case alone does not tell {dataset!r} "
            "from it"
        )
    return True


def admit_part(workspace: Workspace, part: Part) -> Admission:
    """Admits rows, once however often called.

    Their files are written first. One transaction then puts the admission on record, with the
    digests of the files as they were written; the table's commit follows. Killed before the
    transaction, nothing has happened; killed behind it, whoever opens the dataset next makes the
    commit.

    Raises:
        AdmissionRefusedError: the rows do not fit the dataset: code ``does_not_fit``.
        ChangedDatasetError: the table is not the one that is on record.
        SystemFaultError: the store or the catalog cannot be used.
    """
    files: list[DataFile] = []
    written_as: pa.Schema | None = None
    purpose = f"lazaretto:{part.batch}:{part.name}"
    with damage_on_record(workspace, part.dataset, "admit"):
        for _ in range(ATTEMPTS):
            table = find_dataset(workspace, part.dataset)
            if table is None:
                if not part.first:
                    open_newest(workspace, part.dataset)  # raises: there was one
                today = None
            else:
                today = arrow_schema(table)
            change = _change(part, today)
            if table is not None and change.grows:
                if not grow(workspace, part, table, change):
                    open_newest(workspace, part.dataset)
                continue
            wanted = as_kept(change.columns) if today is None else today
            if wanted != written_as:
                rows = counted_rows(part, wanted)
                place = (workspace.store, part.dataset, purpose, part.batch, part.name)
                files, written_as = write_rows(*place, wanted, rows), wanted
            if table is None:
                create_table(dataset_uri(workspace, part.dataset), wanted)
                continue
            done = _record(workspace, part, table, files)
            if done is not None:
                return done
            open_newest(workspace, part.dataset)  # finishes what was cut off, or raises
    raise SystemFaultError(f"{part.dataset} changed {ATTEMPTS} times while it was written")


def _record(
    workspace: Workspace, part: Part, table: DeltaTable, files: list[DataFile]
) -> Admission | None:
    """None when the table is not at the newest version that is on record."""
    event = admitted_event(workspace, part, table, files)
    # What is checked here holds in the transaction, too, unless the ledger has moved: the one
    # writer lock is held for as little as possible.
    with workspace.catalog.read() as connection:
        found, seen = look_at(connection, workspace, part, table), head(connection)
    if found is True:
        with workspace.catalog.transaction() as connection:
            if moved_since(connection, seen, part.batch):
                found = look_at(connection, workspace, part, table)
            if found is True:
                entry = record(connection, event, changes, actor=workspace.actor)
                recorded = Recorded(entry, event)
    if isinstance(found, Admission):
        open_newest(workspace, part.dataset)  # another process may not have committed it yet
        return found
    if found is False:
        return None
    commit_recorded(workspace, recorded, table)
    uri = dataset_uri(workspace, part.dataset)
    return Admission(
        part.batch, part.dataset, uri, event.version, part.rows, part.name, [recorded.entry.seq]
    )


def look_at(
    connection: Connection, workspace: Workspace, part: Part, table: DeltaTable
) -> Admission | bool:
    """Whether a part may be put on record now, as the version behind the table's.

    Returns:
        Whether it may; it may not where the table is not at the newest version that is on record.
        The admission, where somebody has made it.

    Raises:
        LazarettoError: what `Part.check` raises.
    """
    if is_behind(connection, part.dataset, table):
        return False
    done = find_admission(connection, workspace, part.dataset, part.batch, part.name)
    if done is not None:
        return done
    newest = find_newest(connection, part.dataset)
    if not is_newest(part.dataset, table, newest):
        return False
    if newest is None:
        is_unused(connection, part.dataset)  # raises where its name is taken meanwhile
    part.check(connection)
    return True


def _change(part: Part, today: pa.Schema | None) -> Fit:
    """What the dataset needs so that the rows fit it.

    Raises:
        AdmissionRefusedError: they do not, whatever the policy allows.
    """
    change = find_change(part.schema, today, part.evolve, part.named)
    if not change.problems:
        change = look_at_values(change, part.chunks())
    if change.problems:
        raise misfit(
            f"the batch does not fit dataset {part.dataset!r}: {'; '.join(change.problems)}. "
            f"`lazaretto batch rejudge {part.batch} --reason TEXT` holds it for review",
            part.dataset,
        )
    return change


def _recalled(connection: Connection, event: BatchAdmitted) -> str | None:
    table = tables.recall
    query = (
        sa.select(table)
        .where(table.c.dataset == event.dataset, table.c.version > event.version)
        .order_by(table.c.version.desc())
    )
    for row in connection.execute(query).all():
        _, recall = read_recall(connection, row)
        if any(member.batch == event.batch for member in recall.members):
            return recall.recall
    return None
