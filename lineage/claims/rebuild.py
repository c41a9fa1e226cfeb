"""Computes the graph of claims anew from what is kept: every claim, and the ledger."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import sqlalchemy as sa

from lazaretto.lineage.claims.derive import derive_some
from lazaretto.lineage.claims.event import read_event
from lazaretto.lineage.claims.fold import fold
from lazaretto.lineage.claims.names import Names
from lazaretto.lineage.claims.told import CURSOR, fold_ledger
from lazaretto.lineage.graph.index import catch_up
from lazaretto.storage import tables
from lazaretto.storage.tables import lineage_claim, projection

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from lazaretto.storage.workspace import Workspace

_CHUNK = 500
_COMPUTED = (
    tables.lineage_gap,
    tables.lineage_access,
    tables.lineage_link,
    tables.lineage_version,
    tables.lineage_run,
    tables.lineage_same,
    tables.lineage_name,
)


def rebuild(workspace: Workspace) -> None:
    """Computes the graph anew, in one transaction: others see the old one or the new one.

    Examples:
        >>> rebuild(workspace)
    """
    catch_up(workspace)
    with workspace.catalog.transaction() as connection:
        for table in _COMPUTED:
            connection.execute(table.delete())
        connection.execute(projection.delete().where(projection.c.name == CURSOR))
        fold_ledger(connection, workspace.store.root)
        _fold_claims(connection, workspace.store.root)
        while derive_some(connection, workspace.store.root, _CHUNK):
            pass


def _fold_claims(connection: Connection, store_root: str) -> None:
    last = 0
    while True:
        query = sa.select(lineage_claim.c.id, lineage_claim.c.body).where(lineage_claim.c.id > last)
        found = connection.execute(query.order_by(lineage_claim.c.id).limit(_CHUNK)).all()
        if not found:
            return
        claims = [read_event(json.loads(row.body)) for row in found]
        fold(Names(store_root), claims).write(connection)
        last = found[-1].id
