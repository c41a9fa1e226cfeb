"""The batches of a source whose odd records are looked at together with those of a new one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.drift.source import screened_before
from lazaretto.ledger.deletions import deletions_of_each
from lazaretto.stats.looks import look_back
from lazaretto.storage.sidecars import read_table
from lazaretto.values import PoolMember

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from lazaretto.drift.source import Evidence, Question
    from lazaretto.received import Received
    from lazaretto.screen import Earlier
    from lazaretto.storage.store import Store
    from lazaretto.values import StoredFile


@dataclass(frozen=True, slots=True)
class LookedAt:
    """An earlier batch of the source.

    Attributes:
        batch: its id.
        seq: ledger entry of its screening.
        suspects: the file with its oddest records.
    """

    batch: str
    seq: int
    suspects: StoredFile

    @property
    def member(self) -> PoolMember:
        """As it goes on the ledger."""
        return PoolMember(self.batch, self.seq, self.suspects.sha256)


def looked_at(
    connection: Connection, question: Question, past: Evidence, received: Received
) -> list[LookedAt]:
    """The batches to look at together with one, the newest first; none where it is not time.

    What retention deleted is left out.

    Args:
        connection: of `Catalog.read`.
        question: which screenings count.
        past: what the source's batches before tell together.
        received: the batch.
    """
    batches = look_back(past.slow.batches)
    if not batches:
        return []
    before = screened_before(connection, question, received.seq, batches)
    deleted = {
        path
        for found in deletions_of_each(connection, [event.batch for _, event in before]).values()
        for one in found
        for path in one.event.files
    }
    return [
        LookedAt(event.batch, seq, event.suspects)
        for seq, event in before
        if event.suspects is not None and event.suspects.path not in deleted
    ]


def read_earlier(store: Store, found: list[LookedAt]) -> list[Earlier]:
    """Their odd records, each file checked while it is read.

    Raises:
        ChangedFileError: one is gone, or was changed.
    """
    from lazaretto.screen import Earlier

    return [Earlier(one.batch, read_table(store, one.suspects)) for one in found]
