"""What a trace looks at: the ledger, and an index that says nothing but what the ledger says."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.ledger.chain import head
from lazaretto.lineage.cursors import cursor
from lazaretto.lineage.graph.index import CURSOR, catch_up
from lazaretto.lineage.graph.rebuild import write_index
from lazaretto.lineage.graph.verify import verify_index
from lazaretto.storage.scratch import scratch
from lazaretto.storage.tables import lineage_edge, lineage_node

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class View:
    """One moment of the catalog, checked.

    Attributes:
        catalog: connection of the catalog: the ledger, which holds.
        index: connection of the lineage index that answers are made of: the catalog's where it says
            what the ledger says, else one made anew from the ledger.
        seq: ledger entry up to which the index goes.
        changed: rows of the catalog's index that did not say what the ledger says.
    """

    catalog: Connection
    index: Connection
    seq: int
    changed: int = 0


@contextmanager
def sound_view(workspace: Workspace) -> Iterator[View]:
    """Brings the index up to date, holds it against the ledger, and gives what answers rest on.

    The catalog's index is left as it is: `lazaretto catalog rebuild` mends it. Until then each
    trace makes its own from the ledger, with what other tools claim beside it.

    Raises:
        LedgerError: the ledger does not hold; then nothing is answered.
        SystemFaultError: the catalog cannot be used.
    """
    catch_up(workspace)
    root = workspace.store.root
    with workspace.catalog.read() as connection:
        until = min(cursor(connection, CURSOR), head(connection))
        check = verify_index(connection, root, until=until)
        if check.sound:
            yield View(connection, connection, until)
            return
        with scratch([lineage_node, lineage_edge]) as own:
            write_index(own, connection, root, until)
            yield View(connection, own, until, check.differences.total)
