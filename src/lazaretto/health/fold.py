"""Makes the state rows anew from the whole ledger, by what each room says that its entries do."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lazaretto import received
from lazaretto.ledger.state import write
from lazaretto.quarantine import opening
from lazaretto.registry import references
from lazaretto.sources import recorded
from lazaretto.storage import tables
from lazaretto.storage.scratch import scratch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

    from lazaretto.ledger.chain import Entry
    from lazaretto.ledger.state import Change

ROOMS = (recorded.changes, received.changes, references.changes, opening.changes)


def changes(entry: Entry) -> Iterator[Change]:
    """What an entry does to the catalog, over all rooms."""
    for room in ROOMS:
        yield from room(entry)
