"""The health of a workspace: does the catalog fit, does the ledger hold, are the files there?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto.dataset.admission import CLEARED
from lazaretto.dataset.contents import members
from lazaretto.dataset.delta import open_table
from lazaretto.errors import NotFoundError, UsageError
from lazaretto.ledger import chain as ledger
from lazaretto.storage import tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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

    report = ledger.verify(workspace)
    store = workspace.store
    with workspace.catalog.read() as connection:
        uris: set[str | None] = {uri for q in _queries() for uri in connection.scalars(q)}
        uris |= {s["envelope_uri"] for s in connection.scalars(sa.select(tables.batch.c.signature))}
        folders = list(connection.scalars(sa.select(tables.reference.c.uri)))
        seen = {row.name: row.seq for row in connection.execute(sa.select(tables.projection))}
    named = set(_inside(workspace, uris))
    present = {path for folder in _FOLDERS for path in store.list(folder)}
    frozen = tuple(f"{path}/" for path in _inside(workspace, folders))
    return Health(
        catalog=workspace.catalog.display_url,
        schema=workspace.catalog.version(),
        store=store.root,
        ledger=report.ok,
        entries=report.entries,
        problem=report.problem,
        behind={name: report.entries - seen.get(name, 0) for name in (INDEX, EVENTS)},
        missing=sorted(path for path in named - present if not store.exists(path)),
        orphans=sorted(path for path in present - named if not path.startswith(frozen)),
    )


def _queries() -> Iterator[sa.Select[Any]]:
    for column in (
        tables.batch.c.stored_uri,
        tables.stage.c.uri,
        tables.stage.c.summary["drift_uri"].as_string(),
        tables.reference.c.profile_uri,
        tables.case.c.held_uri,
        tables.decision.c.ids_uri,
        tables.recall.c.ids_uri,
    ):
        yield sa.select(column).distinct()


def _inside(workspace: Workspace, uris: Iterable[str | None]) -> Iterator[str]:
    """Paths of the URIs that lie in this store; others belong to a store that was moved."""
    for uri in uris:
        if uri is None:
            continue
        try:
            yield workspace.store.relative(uri)
        except UsageError:
            continue


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
        datasets = list(connection.execute(sa.select(tables.dataset.c.name, tables.dataset.c.uri)))
        admitted = sa.select(
            tables.admission.c.dataset, tables.admission.c.batch, tables.admission.c.version
        )
        rows = connection.execute(admitted).all()
    known = {(row.dataset, row.batch) for row in rows}
    for name, uri in datasets:
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
