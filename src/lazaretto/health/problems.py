"""The health of a workspace: does the catalog fit, does the ledger hold, are the files there?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.dataset.admission import CLEARED, dataset_uri
from lazaretto.dataset.contents import members
from lazaretto.dataset.delta import open_table
from lazaretto.errors import NotFoundError
from lazaretto.ledger import chain as ledger
from lazaretto.ledger.events import files_of
from lazaretto.ledger.report import Outcome
from lazaretto.ledger.verify import verify
from lazaretto.storage import tables
from lazaretto.storage.verified import LIST
from lazaretto.values import StoredFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.storage.workspace import Workspace

# Folders whose files the catalog knows one by one.
_FOLDERS = ("batches", "decisions", "held", "recalls", "references")


@dataclass(frozen=True, slots=True)
class Health:
    """What a check found.

    Attributes:
        catalog: its URL, without a password.
        schema: revision of its schema.
        store: its root.
        ledger: whether the chain holds.
        entries: ledger entries.
        problem: what is wrong with the ledger.
        behind: ledger entries that each projection has not seen.
        missing: files that the catalog names and the store does not have. Restore them.
        orphans: files that no catalog entry names: harmless leftovers of a crash.
    """

    catalog: str
    schema: str | None
    store: str
    ledger: bool
    entries: int
    problem: str | None
    behind: dict[str, int]
    missing: list[str]
    orphans: list[str]

    @property
    def ok(self) -> bool:
        """Whether nothing is lost: the ledger holds and every file is there."""
        return self.ledger and not self.missing


def check(workspace: Workspace) -> Health:
    """Looks at catalog, ledger and store; changes nothing.

    Raises:
        SystemFaultError: catalog or store cannot be reached.
    """
    from lazaretto.lineage.graph.index import CURSOR as INDEX
    from lazaretto.lineage.openlineage.emit import CURSOR as EVENTS

    report = verify(workspace)
    store = workspace.store
    with workspace.catalog.read() as connection:
        named = {file.path: file for file in _named(connection)}
        seen = {row.name: row.seq for row in connection.execute(sa.select(tables.projection))}
    present = {path for folder in _FOLDERS for path in store.list(folder)}
    return Health(
        catalog=workspace.catalog.display_url,
        schema=workspace.catalog.version(),
        store=store.root,
        ledger=report.outcome is not Outcome.VIOLATED,
        entries=report.entries,
        problem="; ".join(problem.what for problem in report.problems) or None,
        behind={name: report.entries - seen.get(name, 0) for name in (INDEX, EVENTS)},
        missing=sorted(path for path in named.keys() - present if not store.exists(path)),
        orphans=sorted(path for path in present if path.removesuffix(LIST) not in named),
    )


def _named(connection: Connection) -> Iterator[StoredFile]:
    """Every file that the ledger, or an intent that is not finished, names."""
    for entry in ledger.entries(connection):
        yield from files_of(entry.event)
    intended = sa.select(tables.recall.c.ids).where(tables.recall.c.seq.is_(None))
    for ids in connection.scalars(intended):
        yield StoredFile(**ids)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in catalog or datasets that wants a person's or a retry's attention.

    Attributes:
        kind: ``unfinished_admission``, ``unfinished_recall``, ``strangers`` or ``lost_dataset``.
        what: which, in words.
        mend: what to do.
    """

    kind: str
    what: str
    mend: str


def find_problems(workspace: Workspace) -> list[Problem]:
    """Looks through intents and datasets; changes nothing.

    Every admitted row must be of a batch that was admitted, and every version that the ledger names
    must be there. Reads one column of the newest version of each dataset.

    Raises:
        SystemFaultError: catalog or store cannot be reached.
    """
    with workspace.catalog.read() as connection:
        found = [*_unfinished_admissions(connection), *_unfinished_recalls(connection)]
        datasets = list(connection.scalars(sa.select(tables.dataset.c.name)))
        admitted = sa.select(
            tables.admission.c.dataset, tables.admission.c.batch, tables.admission.c.version
        )
        rows = connection.execute(admitted).all()
    known = {(row.dataset, row.batch) for row in rows}
    for name in datasets:
        uri = dataset_uri(workspace, name)
        versions = [row.version for row in rows if row.dataset == name and row.version is not None]
        found += _dataset_problems(name, uri, max(versions, default=None), known)
    return found


def _unfinished_admissions(connection: Connection) -> Iterator[Problem]:
    table = tables.admission
    query = sa.select(table).where(table.c.seq.is_(None)).order_by(table.c.intended_at)
    for row in connection.execute(query):
        again = (
            "`lazaretto batch admit`" if row.part == CLEARED else "`lazaretto quarantine publish`"
        )
        yield Problem(
            "unfinished_admission",
            f"{row.rows} records of {row.batch} were on their way to {row.dataset} since "
            f"{row.intended_at:%Y-%m-%d %H:%M} ({row.part})",
            f"do it again with {again}, or clear the task: it goes on where it stopped",
        )


def _unfinished_recalls(connection: Connection) -> Iterator[Problem]:
    table = tables.recall
    query = sa.select(table).where(table.c.seq.is_(None)).order_by(table.c.at)
    for row in connection.execute(query):
        yield Problem(
            "unfinished_recall",
            f"{row.records} records were on their way out of {row.dataset} since "
            f"{row.at:%Y-%m-%d %H:%M} ({row.id})",
            "make the same recall again: it goes on where it stopped",
        )


def _dataset_problems(
    name: str, uri: str, newest: int | None, known: set[tuple[str, str]]
) -> Iterator[Problem]:
    try:
        table = open_table(uri)
    except NotFoundError:
        if newest is not None:
            yield Problem("lost_dataset", f"{uri} is gone", "restore it from a backup")
        return
    if newest is not None and table.version() < newest:
        yield Problem(
            "lost_dataset",
            f"{uri} ends at version {table.version()}, version {newest} is on record",
            "restore its log from a backup",
        )
    strangers = [member for member in members(table) if (name, member.batch) not in known]
    for member in strangers:
        yield Problem(
            "strangers",
            f"{member.rows} rows of {name} say that they are of batch {member.batch!r}, which was "
            "never admitted: they were written around the gate",
            f"restore an earlier version of {uri}, and take away write access from who did it",
        )
