"""Holds every dataset's table against the ledger, and finds publications that were cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.dataset.table import check_dataset
from lazaretto.errors import ChangedDatasetError, ChangedStateError
from lazaretto.health.report import Finding
from lazaretto.storage import tables

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.storage.workspace import Workspace


def find_in_datasets(workspace: Workspace, names: Collection[str]) -> Iterator[Finding]:
    """Tables that are not the ones on record: lost, rolled back, or with rows around the gate.

    Reads no data: that the data files hold what they held is found with all other files.

    Args:
        workspace: catalog and store.
        names: of the datasets that the ledger knows.

    Raises:
        SystemFaultError: catalog or store cannot be reached.
    """
    with workspace.catalog.read() as connection:
        yield from _unfinished_publications(connection)
    for name in sorted(names):
        try:
            check_dataset(workspace, name)
        except ChangedDatasetError as error:
            what = f"the table of dataset {name} is not the one on record: {error.problem}"
            yield Finding("changed_dataset", what, error.mend.rstrip("."))
        except ChangedStateError as error:
            what = f"dataset {name} cannot be compared: {error}"
            yield Finding("unreadable_dataset", what, "first mend the rows of the catalog")


def _unfinished_publications(connection: Connection) -> Iterator[Finding]:
    held, admission = tables.held_record.c, tables.admission.c
    recorded = sa.select(admission.part).where(admission.part == held.part).exists()
    query = sa.select(held.case_id, held.part).where(held.part.is_not(None), ~recorded).distinct()
    for row in connection.execute(query):
        yield Finding(
            "unfinished_publication",
            f"{row.part} of {row.case_id} was begun and did not go on record",
            f"`lazaretto quarantine publish {row.case_id}` goes on where it stopped",
        )
