"""Holds every dataset against the ledger, and tells of work that was cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.dataset.admission import CLEARED, dataset_uri
from lazaretto.dataset.contents import members
from lazaretto.dataset.delta import open_table
from lazaretto.errors import NotFoundError
from lazaretto.health.report import Finding
from lazaretto.storage import tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.storage.workspace import Workspace


def find_in_datasets(workspace: Workspace) -> list[Finding]:
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


def _unfinished_admissions(connection: Connection) -> Iterator[Finding]:
    table = tables.admission
    query = sa.select(table).where(table.c.seq.is_(None)).order_by(table.c.intended_at)
    for row in connection.execute(query):
        again = (
            "`lazaretto batch admit`" if row.part == CLEARED else "`lazaretto quarantine publish`"
        )
        yield Finding(
            "unfinished_admission",
            f"{row.rows} records of {row.batch} were on their way to {row.dataset} since "
            f"{row.intended_at:%Y-%m-%d %H:%M} ({row.part})",
            f"do it again with {again}, or clear the task: it goes on where it stopped",
        )


def _unfinished_recalls(connection: Connection) -> Iterator[Finding]:
    table = tables.recall
    query = sa.select(table).where(table.c.seq.is_(None)).order_by(table.c.at)
    for row in connection.execute(query):
        yield Finding(
            "unfinished_recall",
            f"{row.records} records were on their way out of {row.dataset} since "
            f"{row.at:%Y-%m-%d %H:%M} ({row.id})",
            "make the same recall again: it goes on where it stopped",
        )


def _dataset_problems(
    name: str, uri: str, newest: int | None, known: set[tuple[str, str]]
) -> Iterator[Finding]:
    try:
        table = open_table(uri)
    except NotFoundError:
        if newest is not None:
            yield Finding("lost_dataset", f"{uri} is gone", "restore it from a backup")
        return
    if newest is not None and table.version() < newest:
        yield Finding(
            "lost_dataset",
            f"{uri} ends at version {table.version()}, version {newest} is on record",
            "restore its log from a backup",
        )
    strangers = [member for member in members(table) if (name, member.batch) not in known]
    for member in strangers:
        yield Finding(
            "strangers",
            f"{member.rows} rows of {name} say that they are of batch {member.batch!r}, which was "
            "never admitted: they were written around the gate",
            f"restore an earlier version of {uri}, and take away write access from who did it",
        )
