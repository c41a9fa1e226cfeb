"""Makes the rows of the catalog what the ledger says, in one transaction."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.errors import LedgerError
from lazaretto.health.fold import RECORDS, STATE
from lazaretto.health.report import SHOWN
from lazaretto.health.state import state_check
from lazaretto.ledger.chain import append, head, whole
from lazaretto.ledger.differences import Differences
from lazaretto.ledger.events import CatalogRebuilt
from lazaretto.ledger.verify import verify
from lazaretto.lineage.cursors import cursor
from lazaretto.lineage.graph.index import CURSOR
from lazaretto.lineage.graph.rebuild import rebuild_index
from lazaretto.lineage.graph.verify import verify_index

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.engine import Connection

    from lazaretto.health.compare import Pair
    from lazaretto.health.state import StateCheck
    from lazaretto.ledger.differences import Difference
    from lazaretto.lineage.graph.verify import IndexCheck
    from lazaretto.storage.workspace import Workspace

_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild changed, or would change.

    Attributes:
        done: whether it was done.
        rows: by table, how many rows were ``changed``, ``missing`` and ``added``.
        moved: versions in the lineage index that named another address of the store.
        unreadable: cases whose held records stay as they are, since a file of them is gone or was
            changed.
        deleted: cases whose held records stay as they are, since retention deleted their rows.
        differences: the first rows of each table.
        seq: ledger entry; None: nothing was changed.
    """

    done: bool
    rows: dict[str, dict[str, int]]
    moved: int = 0
    unreadable: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    seq: int | None = None

    @property
    def needed(self) -> bool:
        """Whether anything is not what the ledger says."""
        return bool(self.rows or self.moved)


def rebuild(workspace: Workspace, *, write: bool) -> Rebuilt:
    """Makes state tables and lineage index what the ledger says; what changed goes on the ledger.

    Args:
        workspace: catalog and store.
        write: do it; otherwise it is only told what would change.

    Raises:
        LedgerError: the ledger does not hold, so that nothing can be made of it.
        SystemFaultError: catalog or store cannot be used.

    Examples:
        >>> rebuild(workspace, write=False).differences  # what it would change
        []
    """
    report = verify(workspace)
    if report.problems:
        raise LedgerError(
            "the ledger does not hold, so that nothing can be made of it: "
            f"{report.problems[0].what}. Restore the catalog from a backup; see `lazaretto ledger "
            "verify`"
        )
    view = workspace.catalog.transaction() if write else workspace.catalog.read()
    with view as connection, state_check(connection, workspace.store) as state:
        for entry in whole(connection):
            state.fold.add(entry)
        differences = Differences(SHOWN)
        state.compare(differences)
        index = verify_index(
            connection,
            workspace.store.root,
            until=min(cursor(connection, CURSOR), head(connection)),
            keep=SHOWN,
        )
        differences.include(index.differences)
        found = Rebuilt(
            done=write,
            rows=differences.counts,
            moved=index.moved,
            unreadable=sorted(state.fold.unreadable - state.fold.deleted),
            deleted=sorted(state.fold.unreadable & state.fold.deleted),
            differences=differences.first,
        )
        if not write or not found.needed:
            return found
        _write_state(connection, state)
        _write_index(connection, workspace, index)
        rows = found.rows | ({"lineage_node": {"changed": index.moved}} if index.moved else {})
        seq = append(connection, CatalogRebuilt(rows), actor=workspace.actor).seq
    return Rebuilt(
        done=True,
        rows=found.rows,
        moved=found.moved,
        unreadable=found.unreadable,
        deleted=found.deleted,
        differences=found.differences,
        seq=seq,
    )


def _write_state(connection: Connection, state: StateCheck) -> None:
    """Rows that others refer to come first and go last."""
    pairs = {table: list(state.pairs(table)) for table in STATE if table not in RECORDS}
    records = {table: state.readable(table) for table in RECORDS if any(state.pairs(table))}
    for table, readable in records.items():
        connection.execute(table.delete().where(readable))
    for table, found in pairs.items():
        _free_names(connection, table, found)
    for table, found in pairs.items():
        for pair in found:
            if pair.told is not None and pair.found is not None:
                key = _key(table, pair.found)
                connection.execute(table.update().where(*key).values(pair.told))
            elif pair.told is not None:
                connection.execute(table.insert().values(pair.told))
    for table, readable in records.items():
        rows = state.fold.rows.execute(sa.select(table).where(readable))
        for part in rows.partitions(_CHUNK):
            connection.execute(table.insert(), [row._asdict() for row in part])
    for table, found in reversed(pairs.items()):
        for pair in found:
            if pair.told is None and pair.found is not None:
                connection.execute(table.delete().where(*_key(table, pair.found)))


def _free_names(connection: Connection, table: sa.Table, found: Iterable[Pair]) -> None:
    """Takes away what must be unique from rows that will have it no more, or get it anew."""
    unique = [rule for rule in table.constraints if isinstance(rule, sa.UniqueConstraint)]
    for last in (list(rule.columns)[-1] for rule in unique):
        for pair in found:
            if pair.found is not None:
                key = _key(table, pair.found)
                free = hashlib.sha256(repr(pair.found).encode()).hexdigest()
                connection.execute(table.update().where(*key).values({last.name: free}))


def _key(table: sa.Table, row: dict[str, Any]) -> list[sa.ColumnElement[bool]]:
    return [column == row[column.name] for column in table.primary_key]


def _write_index(connection: Connection, workspace: Workspace, index: IndexCheck) -> None:
    if not index.sound:
        rebuild_index(connection, workspace.store.root)
