"""Makes the state rows anew from the whole ledger, by what each room says that its entries do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lazaretto import received
from lazaretto.quarantine import opening
from lazaretto.registry import references
from lazaretto.sources import recorded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lazaretto.ledger.chain import Entry
    from lazaretto.ledger.state import Change

ROOMS = (recorded.changes, received.changes, references.changes, opening.changes)


def changes(entry: Entry) -> Iterator[Change]:
    """What an entry does to the catalog, over all rooms."""
    for room in ROOMS:
        yield from room(entry)
