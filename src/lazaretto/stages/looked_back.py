"""The batches of a source whose odd records are looked at together with those of a new one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.drift.source import screened_before
from lazaretto.errors import ChangedFileError
from lazaretto.stages.left_out import deleted_files, left_out_told, unusable
from lazaretto.stats.looks import look_back
from lazaretto.storage.sidecars import read_table
from lazaretto.values import PoolMember

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from lazaretto.drift.source import Evidence, Question
    from lazaretto.received import Received
    from lazaretto.screen import Earlier
    from lazaretto.storage.store import Store
    from lazaretto.values import LeftOut, StoredFile


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
    deleted = deleted_files(connection, [event.batch for _, event in before])
    return [
        LookedAt(event.batch, seq, event.suspects)
        for seq, event in before
        if event.suspects is not None and event.suspects.path not in deleted
    ]


@dataclass(frozen=True, slots=True)
class LookedBack:
    """The earlier batches of a source that a batch is looked at together with.

    Attributes:
        batches: their odd records.
        members: they, as they go on the ledger.
        left_out: those whose file could not be used.
    """

    batches: list[Earlier]
    members: list[PoolMember]
    left_out: list[LeftOut]

    @property
    def note(self) -> str | None:
        """Which batches were left out and why, in words; None: none was."""
        return left_out_told(self.left_out, "the look at earlier batches of this source")


def read_earlier(store: Store, found: list[LookedAt]) -> LookedBack:
    """Their odd records, each file checked while it is read.

    A batch whose file is gone, or is not the one on record, is left out: it is no fault of the new
    batch, which must not wait for it, and nothing of other bytes is evidence.

    Raises:
        SystemFaultError: the store cannot be read.
    """
    from lazaretto.screen import Earlier

    back = LookedBack([], [], [])
    for one in found:
        try:
            suspects = read_table(store, one.suspects)
        except ChangedFileError as error:
            left = unusable(store, one.batch, one.seq, one.suspects, "odd records", error)
            back.left_out.append(left)
            continue
        back.batches.append(Earlier(one.batch, suspects))
        back.members.append(one.member)
    return back
