"""Who was told of a hold: each is announced once, whatever is retried, cleared or run again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto.ledger.chain import append, entries, entry
from lazaretto.ledger.events import HoldAnnounced

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.engine import Connection

    from lazaretto.storage.workspace import Workspace


def hold_to_announce(workspace: Workspace, batch: str, made: int) -> datetime | None:
    """When a judgement was made that holds records, if nobody was told of it yet.

    Args:
        workspace: catalog and store.
        batch: id of the batch.
        made: ledger entry of the judgement.

    Returns:
        Time of the entry, UTC; None: it was announced.
    """
    with workspace.catalog.read() as connection:
        return None if _find(connection, batch, made) else entry(connection, made).at


def record_hold_announced(workspace: Workspace, batch: str, made: int) -> int | None:
    """Puts on record that a hold was announced.

    Args:
        workspace: catalog and store; whoever acts through it has announced it.
        batch: id of the batch.
        made: ledger entry of the judgement.

    Returns:
        The ledger entry; None where it was on record already.
    """
    with workspace.catalog.transaction() as connection:
        if _find(connection, batch, made):
            return None
        return append(connection, HoldAnnounced(batch, made), actor=workspace.actor).seq


def _find(connection: Connection, batch: str, made: int) -> bool:
    """Looks only behind the judgement: nobody announced it before."""
    found = entries(connection, after=made, subject=f"batch:{batch}", kinds=[HoldAnnounced.kind])
    return any(isinstance(one.event, HoldAnnounced) and one.event.made == made for one in found)
