"""One check of everything: ledger, state, lineage index, files and datasets; it changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.errors import LedgerError, OtherStoreError
from lazaretto.health.datasets import find_in_datasets
from lazaretto.health.files import NamedFiles, find_lost, find_undeleted, find_unknown
from lazaretto.health.report import SHOWN, Finding, Health, Leftovers
from lazaretto.health.state import state_check
from lazaretto.ledger.chain import head, whole
from lazaretto.ledger.differences import Differences
from lazaretto.ledger.verify import verify
from lazaretto.lineage.cursors import cursor
from lazaretto.lineage.graph.index import CURSOR as INDEX
from lazaretto.lineage.graph.verify import verify_index
from lazaretto.lineage.openlineage.emit import CURSOR as EVENTS
from lazaretto.storage import tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.report import LedgerReport
    from lazaretto.storage.workspace import Workspace

    Progress = Callable[[str, int, int], None]

_REBUILD = (
    "find out who can write to the database; `lazaretto catalog rebuild` makes these rows what the "
    "ledger says"
)


def check(workspace: Workspace, *, deep: bool = False, progress: Progress | None = None) -> Health:
    """Holds catalog, store and datasets against the ledger; changes nothing.

    Args:
        workspace: catalog and store.
        deep: read every byte of every file that the ledger names, and compare the index of held
            records one by one; otherwise files are compared by size, and records are counted.
        progress: called with what is done, how much of it is done, and how much there is.

    Raises:
        SystemFaultError: catalog or store cannot be reached.

    Examples:
        >>> check(workspace).sound
        True
    """
    tell = progress or (lambda *_: None)
    try:
        workspace.store.require_own()
    except OtherStoreError as error:
        return _of_another_store(workspace, error, deep=deep)
    report = verify(workspace)
    sound = not report.problems
    findings = list(_ledger(report))
    files, differences, rows = NamedFiles(), Differences(SHOWN), 0
    moved: list[Finding] = []
    with workspace.catalog.read() as connection:
        behind, ahead = _projections(connection, report.entries)
        findings += ahead
        try:
            rows = _compare_state(workspace, connection, files, differences, deep=deep, tell=tell)
            rows += _compare_index(workspace, connection, differences, moved)
        except LedgerError as error:
            sound = False
            if not findings:
                findings.append(Finding("ledger", str(error), _LOST_LEDGER))
    findings += [*_differing(differences), *moved]
    sizes = workspace.store.sizes()
    findings += find_lost(workspace.store, files, sizes, tell if deep else None)
    findings += find_undeleted(files, sizes)
    leftovers = Leftovers()
    if sound:
        unknown, leftovers = find_unknown(files, sizes)
        findings += unknown
        findings += find_in_datasets(workspace, files.datasets)
    return Health(
        catalog=workspace.catalog.display_url,
        schema=workspace.catalog.version(),
        store=workspace.store.root,
        deep=deep,
        sound=not findings,
        entries=report.entries,
        rows=rows,
        files=len(files.kept),
        deleted=len(files.deleted),
        behind=behind,
        leftovers=leftovers,
        findings=findings,
        differences=differences.first,
    )


def _of_another_store(workspace: Workspace, error: OtherStoreError, *, deep: bool) -> Health:
    """Nothing is compared with a store that is not the catalog's: all of it would look lost."""
    with workspace.catalog.read() as connection:
        entries = head(connection)
    finding = Finding(
        "wrong_store",
        f"{workspace.store.root} is not the store of this catalog: {error.problem}",
        "give the right one with --store or LAZARETTO_STORE, the right catalog with --catalog or "
        "LAZARETTO_CATALOG_URL, or restore the one that is wrong from a backup",
    )
    return Health(
        catalog=workspace.catalog.display_url,
        schema=workspace.catalog.version(),
        store=workspace.store.root,
        deep=deep,
        sound=False,
        entries=entries,
        rows=0,
        files=0,
        deleted=0,
        behind={},
        leftovers=Leftovers(),
        findings=[finding],
        differences=[],
    )


_LOST_LEDGER = (
    "restore the catalog from a backup whose ledger `lazaretto ledger verify` finds sound; state, "
    "index and datasets were not compared with a ledger that does not hold"
)


def _ledger(report: LedgerReport) -> Iterator[Finding]:
    for problem in report.problems:
        yield Finding("ledger", problem.what, _LOST_LEDGER)
    if report.reports:
        yield Finding(
            "changed_reports",
            "reports of incidents are not the ones that are on record",
            "restore them from a backup, and find out who can write to the store; `lazaretto "
            "ledger verify` names each with its entry",
            len(report.reports),
            [problem.what for problem in report.reports[:SHOWN]],
        )


def _projections(connection: Connection, entries: int) -> tuple[dict[str, int], list[Finding]]:
    """How far each projection is behind; one that is ahead of the ledger was moved by hand."""
    seen = {row.name: row.seq for row in connection.execute(sa.select(tables.projection))}
    behind = {name: entries - seen.get(name, 0) for name in (INDEX, EVENTS)}
    ahead = [name for name, lag in behind.items() if lag < 0]
    findings = []
    if ahead:
        findings.append(
            Finding(
                "projection_ahead",
                "projections claim to have seen more entries than the ledger has",
                "if the catalog was restored from a copy, restore a newer one; else somebody "
                "changed the database, and events that are to come would not be told",
                len(ahead),
                ahead,
            )
        )
    return {name: max(0, lag) for name, lag in behind.items()}, findings


def _compare_state(
    workspace: Workspace,
    connection: Connection,
    files: NamedFiles,
    differences: Differences,
    *,
    deep: bool,
    tell: Progress,
) -> int:
    """Reads the whole ledger for state and files; gives how many rows were compared.

    Raises:
        LedgerError: the ledger does not hold.
    """
    last = head(connection)
    with state_check(connection, workspace.store if deep else None) as state:
        for entry in whole(connection):
            files.add(entry)
            state.fold.add(entry)
            if entry.seq % 1000 == 0 or entry.seq == last:
                tell("ledger entries", entry.seq, last)
        return state.compare(differences)


def _compare_index(
    workspace: Workspace, connection: Connection, differences: Differences, moved: list[Finding]
) -> int:
    """The same for the lineage index, as far as it was brought up to the ledger."""
    until = min(cursor(connection, INDEX), head(connection))
    index = verify_index(connection, workspace.store.root, until=until, keep=SHOWN)
    differences.include(index.differences)
    if index.moved:
        moved.append(
            Finding(
                "moved_index",
                "versions in the lineage index name another address of the store",
                "open the store by the same address everywhere; `lazaretto catalog rebuild` writes "
                "them anew, and until then each trace does",
                index.moved,
            )
        )
    nodes = sa.select(sa.func.count()).select_from(tables.lineage_node)
    return connection.scalar(nodes) or 0


def _differing(differences: Differences) -> Iterator[Finding]:
    if differences.counts:
        told = "; ".join(
            f"{table} {', '.join(f'{count} {how}' for how, count in sorted(counts.items()))}"
            for table, counts in sorted(differences.counts.items())
        )
        yield Finding(
            "changed_rows",
            f"rows of the catalog do not say what the ledger says: {told}",
            _REBUILD,
            differences.total,
            [str(difference) for difference in differences.first],
        )
