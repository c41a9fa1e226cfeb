"""The health of a workspace: does the catalog fit, does the ledger hold, are the files there?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lazaretto import ledger
from lazaretto.errors import UsageError
from lazaretto.quarantine import tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lazaretto.workspace import Workspace

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
    from lazaretto.lineage.emit import CURSOR as EVENTS
    from lazaretto.lineage.index import CURSOR as INDEX

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
