"""The health of a workspace: does the catalog fit, does the ledger hold, are the files there?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.dataset.table import check_dataset
from lazaretto.errors import ChangedDatasetError
from lazaretto.ledger import chain as ledger
from lazaretto.ledger.events import files_of
from lazaretto.ledger.report import Outcome
from lazaretto.ledger.verify import verify
from lazaretto.storage import tables
from lazaretto.storage.verified import LIST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.storage.workspace import Workspace
    from lazaretto.values import StoredFile

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
    """Every file that the ledger names."""
    for entry in ledger.entries(connection):
        yield from files_of(entry.event)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in catalog or datasets that wants a person's or a retry's attention.

    Attributes:
        kind: ``unfinished_publication`` or ``changed_dataset``.
        what: which, in words.
        mend: what to do.
    """

    kind: str
    what: str
    mend: str


def find_problems(workspace: Workspace) -> list[Problem]:
    """Looks through publications and datasets; changes nothing, reads no data.

    Raises:
        SystemFaultError: catalog or store cannot be reached.
    """
    with workspace.catalog.read() as connection:
        found = list(_unfinished_publications(connection))
        datasets = list(connection.scalars(sa.select(tables.dataset.c.name)))
    for name in datasets:
        try:
            check_dataset(workspace, name)
        except ChangedDatasetError as error:
            found.append(Problem("changed_dataset", f"{name}: {error.problem}", str(error)))
    return found


def _unfinished_publications(connection: Connection) -> Iterator[Problem]:
    held, admission = tables.held_record.c, tables.admission.c
    recorded = sa.select(admission.part).where(admission.part == held.part).exists()
    query = sa.select(held.case_id, held.part).where(held.part.is_not(None), ~recorded).distinct()
    for row in connection.execute(query):
        yield Problem(
            "unfinished_publication",
            f"{row.part} of {row.case_id} was begun and did not go on record",
            "do it again with `lazaretto quarantine publish`: it goes on where it stopped",
        )
