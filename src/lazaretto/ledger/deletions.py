"""What retention deleted, by the ledger: a file that is gone for that reason is not damage."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazaretto.errors import ChangedFileError, DeletedPayloadError
from lazaretto.ledger.chain import entries
from lazaretto.ledger.events import PayloadDeleted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime

    from sqlalchemy.engine import Connection


DELIVERED, HELD = "delivered", "held"
"""What is deleted: what came as a batch, or the whole rows of a case."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """Files of a batch that retention deleted.

    Attributes:
        seq: ledger entry.
        at: when it went on record, UTC.
        event: what it says.
    """

    seq: int
    at: datetime
    event: PayloadDeleted

    @property
    def words(self) -> str:
        """The same in words: ``deleted by retention on 2027-03-01 (ledger entry 812)``."""
        return f"deleted by retention on {self.at:%Y-%m-%d} (ledger entry {self.seq})"


def deletions_of(connection: Connection, batch: str) -> list[Deletion]:
    """What retention deleted of a batch, oldest first.

    Args:
        connection: of the catalog.
        batch: its id.
    """
    return deletions_of_each(connection, [batch])[batch]


def deletions_of_each(
    connection: Connection, batches: Collection[str]
) -> dict[str, list[Deletion]]:
    """The same for some batches, read at once.

    Args:
        connection: of the catalog.
        batches: their ids.
    """
    found: dict[str, list[Deletion]] = {batch: [] for batch in batches}
    subjects = [f"batch:{batch}" for batch in batches]
    for entry in entries(connection, subjects=subjects, kinds=[PayloadDeleted.kind]):
        if isinstance(entry.event, PayloadDeleted):
            found[entry.event.batch].append(Deletion(entry.seq, entry.at, entry.event))
    return found


def delivery_deleted(connection: Connection, batch: str) -> Deletion | None:
    """The deletion of what was delivered as a batch; None where it is kept."""
    found = deletions_of(connection, batch)
    return next((deletion for deletion in found if deletion.event.what == DELIVERED), None)


def deletion_of(connection: Connection, batch: str, path: str) -> Deletion | None:
    """The deletion of one file of a batch; None where retention did not delete it."""
    found = deletions_of(connection, batch)
    return next((deletion for deletion in found if path in deletion.event.files), None)


@contextmanager
def deletions_told(
    view: Callable[[], AbstractContextManager[Connection]], batch: str
) -> Iterator[None]:
    """Tells a file that retention deleted from one that was lost or changed.

    Args:
        view: opens a view of the catalog, such as `Catalog.read`; asked only where a file is gone.
        batch: id of the batch whose files are read inside.

    Raises:
        DeletedPayloadError: a file that is read inside was deleted by retention.
        ChangedFileError: it is gone, or another, for whatever other reason.
    """
    try:
        yield
    except ChangedFileError as error:
        with view() as connection:
            found = deletion_of(connection, batch, error.path)
        if found is None:
            raise
        raise DeletedPayloadError(batch, error.path, found.words) from error
